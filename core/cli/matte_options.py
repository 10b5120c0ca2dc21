"""The options of `rvm-studio matte`, checked as far as possible without opening a clip."""

import argparse
from typing import Any

from ..clips.option_form import SAME
from ..clips.option_table import GROUPS, OPTIONS, options_of
from ..clips.outputs import OutputPaths
from .clip_work import ClipRequest
from .option_parsing import add_rows

_PLACED = ("output", "alpha", "foreground", "preview", "format", "suffix", "start", "end")
"""Options that become files, or depend on the clip."""

DESCRIPTION = """\
Cut the person out of videos, image sequences and pictures. The suffix of OUTPUT
selects the format. With transparency: .mov (ProRes 4444), .webm (VP9), .mkv (FFV1),
.png, .tif and .exr (pictures), .apng, .webp, .gif. Without: .mp4 (H.264), which
shows the person over --background."""

EPILOG = """\
examples:
  rvm-studio matte clip.mp4 -o cut.mov                      transparent, for video editors
  rvm-studio matte clip.mp4 -o new.mp4 --background sea.jpg
  rvm-studio matte holiday/ -o cut/ --format webm           all videos in a folder
  rvm-studio matte 'shots/*.png' -o cut/%05d.png --fps 24   an image sequence
  rvm-studio matte portrait.jpg -o cut.png                  one picture
  rvm-studio matte clip.mp4 -o cut/ --for premiere          what an editor wants
  rvm-studio matte album/ -o cut/ --photos                  unrelated pictures
  rvm-studio matte --watch inbox/ -o cut/                   every new video

--json prints one JSON object per line. Its "event" is one of:
  progress  input, frames, total, fps, seconds_left (the last three are null while unknown)
  done      input, outputs, frames, seconds, fps, notes, damage (places that could not be read)
  stopped   the same, after Ctrl-C or SIGTERM; outputs are the unfinished files (.partial in their names)
  error     input (null for an error of the whole command), message

exit codes: 0 success; 1 an input failed, crashed or was damaged, the others are finished; 2 wrong options;
130 stopped by Ctrl-C, 143 by SIGTERM
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds all options in groups, the most used ones first."""
    parser.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="a video, a picture, an image sequence (folder, 'shots/*.png' or shot_%%05d.png), a folder of videos, an "
        "address (http or https), a pipe, or - for standard input",
    )
    for name, title in GROUPS.items():
        group = parser.add_argument_group(title)
        add_rows(group, options_of(name))
        if name == "messages":
            group.add_argument("-h", "--help", action="help", help="show this text")


def request_for(arguments: argparse.Namespace, source: str, paths: OutputPaths) -> ClipRequest:
    """The clip to matte, as the options say."""
    settings, edges = keywords(arguments)
    return ClipRequest(source, paths._asdict() | settings, edges, arguments.start, arguments.end)


def keywords(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, float]]:
    """The keywords of `rvm_studio.matte` and of EdgeOptions (only those that change something) for the options, without
    outputs, network and times."""
    found: dict[str, Any] = {}
    edges: dict[str, Any] = {}
    for option in OPTIONS:
        if not option.flag or not option.keyword or option.group == "network" or option.name in _PLACED:
            continue
        value: Any = getattr(arguments, option.name)
        if option.name == "no_audio":
            value = not value
        elif value is None and option.python_default is not SAME:
            value = option.python_default
        room, _, name = option.keyword.rpartition(".")
        if room != "edges":
            found[name] = value
        elif value != option.default:
            edges[name] = value
    return found, edges
