"""The table of the inputs in docs/formats.md."""

from pathlib import Path

from .inputs import GROUPS, Input

_TITLE = "## Inputs that are tested"


def write_table(items: list[Input], wrong: dict[str, list[str]], page: Path) -> None:
    """Replaces the section in the page, or adds it at its end. wrong: what failed, by the input's name."""
    text = page.read_text("utf-8")
    before, _, rest = text.partition(f"{_TITLE}\n")
    after = rest.partition("\n## ")[2]
    section = "\n".join([_TITLE, "", *_lines(items, wrong), ""])
    page.write_text(before.rstrip("\n") + "\n\n" + section + (f"\n## {after}" if after else ""), "utf-8")


def _lines(items: list[Input], wrong: dict[str, list[str]]) -> list[str]:
    lines = [
        f"`python tests/torture/run.py --write` makes these {len(items)} inputs, mattes each in a process of its own,",
        "and compares the result with ffprobe and a second decoder (ffmpeg, Pillow): exit code, message,",
        "number, times and pixels of the frames, size, pixel shape, colour tags, timecode, and sound (each beep",
        "against its flash).",
        "",
        "| kind | right | inputs |",
        "|---|---|---|",
    ]
    for group in GROUPS:
        here = [item for item in items if item.group == group]
        if here:
            told = "; ".join(item.about + (" (**wrong**)" if item.name in wrong else "") for item in here)
            right = sum(item.name not in wrong for item in here)
            lines.append(f"| {group} | {right} of {len(here)} | {told.replace('|', ' ')} |")
    return lines
