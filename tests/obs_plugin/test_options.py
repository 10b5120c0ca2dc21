"""The settings of the filter against the table of options: names, defaults and ranges."""

import re
from pathlib import Path

import rvm_frame_protocol
from rvm_studio.core import OPTIONS
from rvm_studio.core.clips.option_form import SAME

LUA = Path(rvm_frame_protocol.__file__).with_name("rvm_filter_settings.lua")
# What only live video has: how the person is shown, and what happens in time.
OWN = {"output", "key_color", "blur", "image_file", "sync", "fixed_delay", "skip", "late", "freeze"}


def settings() -> dict[str, str]:
    """name -> the text of its row."""
    text = LUA.read_text(encoding="utf-8")
    rows = re.split(r'\{ name = "(\w+)", kind = ', text)
    return dict(zip(rows[1::2], rows[2::2], strict=True))


def test_every_promised_setting_is_there_and_as_promised():
    found = settings()
    for option in OPTIONS:
        door = option.obs
        if door is None:
            continue
        row = found[door.name]
        default = option.default if door.default is SAME else door.default
        written = f'"{default}"' if isinstance(default, str) else str(default).lower()
        assert re.search(r"default = ([^,]+),", row)[1] in (written, written.removesuffix(".0")), door.name
        if limits := re.search(r"range = \{ ([-\d.]+), ([-\d.]+), [\d.]+ \}", row):
            low, high = (a if b is SAME else b for a, b in ((option.low, door.low), (option.high, door.high)))
            assert (float(limits[1]), float(limits[2])) == (low, high), door.name
        for choice in option.choices:
            assert f'"{choice}"' in row, door.name


def test_no_setting_is_unknown_to_the_table():
    assert set(settings()) - {option.obs.name for option in OPTIONS if option.obs} == OWN
