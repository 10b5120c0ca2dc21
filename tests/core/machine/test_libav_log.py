"""PyAV's logging is off after an older torchvision has turned it on, and as somebody wants it otherwise."""

import logging

import av
import av.logging
import pytest
from rvm_studio.core.machine.libav_log import silence_libav


@pytest.fixture(autouse=True)
def level_before():
    before = av.logging.get_level()
    yield
    av.logging.set_level(before)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (av.logging.ERROR, None),  # what torchvision sets
        (None, None),
        (av.logging.WARNING, av.logging.WARNING),
        (av.logging.DEBUG, av.logging.DEBUG),
        (av.logging.PANIC, av.logging.PANIC),
    ],
)
def test_only_torchvisions_level_is_taken_back(before, after):
    av.logging.set_level(before)
    silence_libav()
    assert av.logging.get_level() == after


def messages_of_a_broken_file(path, caplog) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.DEBUG), pytest.raises(av.error.FFmpegError):
        av.open(str(path))
    return [record.getMessage() for record in caplog.records if record.name.startswith("libav")]


def test_libav_says_nothing_through_python(tmp_path, caplog):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")  # a header, and no index
    av.logging.set_level(av.logging.ERROR)
    assert messages_of_a_broken_file(path, caplog), "libav reports this file, else the test shows nothing"
    silence_libav()
    assert messages_of_a_broken_file(path, caplog) == []
