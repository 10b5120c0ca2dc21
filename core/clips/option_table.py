"""The one table of options: what each is called, what it accepts and what it means, and which doors offer it.

The command line is made from this table. The Python function `matte`, the ComfyUI nodes and the OBS filter declare
their own forms, as their hosts demand, and tests compare these with the table. Imports nothing large.
"""

from ..video.hardware_decoding import HWACCELS
from .network_options import NETWORK_OPTIONS
from .option_form import Door, Option, markdown
from .programs import PROGRAMS

GROUPS = {
    "first": "most used",
    "outputs": "what is written",
    "source": "what is read",
    "folders": "folders and batches",
    "edges": "edges and colours",
    "matting": "matting",
    "network": "network",
    "messages": "messages",
}
"""The groups of options in the order of the help, with their titles."""


OPTIONS = (
    Option(
        name="output",
        kind="text",
        group="first",
        help="output file, an output folder (a name without a suffix), e.g. for several inputs, or - for standard "
        "output (Matroska with FFV1)",
        metavar="OUTPUT",
        short="-o",
    ),
    Option(
        name="background",
        kind="text",
        group="first",
        help="put the person over a colour (white, '#00b140'), a picture, a video, or the blurred source (blur)",
        metavar="WHAT",
        nodes=Door(name="background", default="#00b140", because="the node always has a composite"),
    ),
    Option(
        name="format",
        kind="text",
        group="first",
        help="format if OUTPUT is a folder: mov (default), png (of pictures), webm and so on",
        metavar="SUFFIX",
        nodes=Door(name="format", default="ProRes 4444", because="nodes name formats, not suffixes"),
    ),
    Option(
        name="program",
        kind="choice",
        group="first",
        help="write what a program wants: format, frame rate and alpha for premiere, resolve, fcp (Final Cut Pro), ae "
        "(After Effects), web (browsers) or obs; a line says what was chosen",
        choices=tuple(PROGRAMS),
        metavar="PROGRAM",
        command="--for",
    ),
    Option(
        name="alpha",
        kind="file",
        group="first",
        help="also write the alpha as a grey video or pictures",
        metavar="FILE",
    ),
    Option(
        name="start",
        kind="seconds",
        group="first",
        help="begin at this time: 12.5 (seconds), 1:02.5, 00:01:02.5, or 250f (frame 250, at the clip's frame rate)",
        low=0,
        metavar="TIME",
        python_default=0,
    ),
    Option(
        name="end",
        kind="seconds",
        group="first",
        help="end at this time, written like --start; the frame at this time is the first that is left out",
        low=0,
        metavar="TIME",
        python="duration",
    ),
    Option(
        name="preview",
        kind="file",
        group="first",
        help="also draw a contact sheet (.png or .jpg)",
        metavar="FILE",
    ),
    Option(name="overwrite", kind="flag", group="first", help="replace existing outputs", default=False),
    Option(
        name="resume",
        kind="flag",
        group="first",
        help="resume the same command after it was stopped (not for .mp4, .apng, .webp and lossy .webm)",
        default=False,
        nodes=Door(name="resume", default=True, because="ComfyUI gives every run a new file name"),
    ),
    Option(
        name="foreground",
        kind="file",
        group="outputs",
        help="also write the foreground colours, over black",
        metavar="FILE",
    ),
    Option(
        name="premultiplied",
        kind="flag",
        group="outputs",
        help="write premultiplied instead of straight colours",
        default=False,
        nodes=Door(name="alpha", default="straight", because="nodes show a choice of two words"),
    ),
    Option(
        name="quality",
        kind="quality",
        group="outputs",
        help="quality of lossy formats (lower is better): crf of .mp4 and .webm (0: lossless), quantiser of .mov",
        low=0,
        metavar="N",
    ),
    Option(
        name="codec",
        kind="text",
        group="outputs",
        help="another codec than the format's own: prores-hq, prores-proxy, dnxhr-hqx, h264, hevc, av1, hevc-nvenc "
        "and so on; docs/formats.md lists them",
        metavar="NAME",
    ),
    Option(
        name="bitrate",
        kind="bitrate",
        group="outputs",
        help="bits per second instead of a quality, for H.264, HEVC, AV1 and opaque VP9: 8M, 800k",
        low=10_000,
        metavar="RATE",
    ),
    Option(
        name="no_audio",
        kind="flag",
        group="outputs",
        help="leave the sound out",
        default=False,
        python="keep_audio",
        python_default=True,
        nodes=Door(name="keep_audio", default=True, because="nodes ask what is kept"),
    ),
    Option(
        name="frame_rate",
        kind="rate",
        group="source",
        help="frame rate of image sequences: 25 (default), 30000/1001",
        metavar="RATE",
        command="--fps",
        nodes=Door(name="fps", default=25.0, low=0.01, high=1000.0, because="a widget always has a number"),
    ),
    Option(
        name="max_size",
        kind="count",
        group="source",
        help="reduce larger frames before matting, so that their longest side has this many pixels: 1920 makes 1080p "
        "of 4K, in the outputs too",
        low=16,
        metavar="PIXELS",
    ),
    Option(
        name="cfr",
        kind="rate",
        group="source",
        help="give a video a constant frame rate, such as 25 or 30000/1001 (default: every frame keeps its time)",
        metavar="RATE",
    ),
    Option(
        name="deinterlace",
        kind="choice",
        group="source",
        help="interlaced videos: frame makes one frame of two fields, field one of each field, no (default) keeps "
        "them as they are",
        default="no",
        choices=("no", "frame", "field"),
    ),
    Option(
        name="hwaccel",
        kind="choice",
        group="source",
        help="decode H.264, HEVC and VP9 on a device, as in ffmpeg: auto, cuda, videotoolbox, d3d11va, vaapi, or none "
        "(default); falls back to software; experimental: supported, not tested on a device",
        default="none",
        choices=HWACCELS,
        metavar="DEVICE",
    ),
    Option(
        name="suffix",
        kind="text",
        group="folders",
        help="text after the name of every file in an output folder: _cut makes clip_cut.mov",
        metavar="TEXT",
        python=None,
    ),
    Option(
        name="recursive",
        kind="flag",
        group="folders",
        help="also the videos in the folders of a folder; the outputs lie in the same tree",
        default=False,
        python=None,
    ),
    Option(
        name="watch",
        kind="folder",
        group="folders",
        help="instead of INPUT: matte the clips of this folder, and every new one when it is complete, until Ctrl-C; "
        "those with an output are skipped",
        metavar="FOLDER",
        python=None,
    ),
    Option(
        name="photos",
        kind="flag",
        group="folders",
        help="the pictures of a folder or pattern are unrelated: each is matted by itself, whatever its size",
        default=False,
        python=None,
    ),
    Option(
        name="grow",
        kind="number",
        group="edges",
        help="move the edge outwards by this many pixels, or inwards if negative, which hides a rim of the background",
        default=0.0,
        low=-256,
        high=256,
        metavar="PIXELS",
        command="--shift",
        python="edges.grow",
        nodes=Door(name="grow", low=-64, high=64, because="a slider of useful values"),
        obs=Door(name="edge_shift", low=-10, high=10, because="a slider of useful values"),
    ),
    Option(
        name="feather",
        kind="number",
        group="edges",
        help="soften the edge by a blur of this many pixels",
        default=0.0,
        low=0,
        high=256,
        metavar="PIXELS",
        python="edges.feather",
        nodes=Door(name="feather", high=64, because="a slider of useful values"),
        obs=Door(name="edge_feather", high=20, because="a slider of useful values"),
    ),
    Option(
        name="black_point",
        kind="number",
        group="edges",
        help="alpha values up to this one become 0 (default): removes haze from the background",
        default=0.0,
        low=0,
        high=1,
        metavar="ALPHA",
        python="edges.black_point",
        nodes=Door(name="black_point", high=0.99, because="the white point is above it"),
    ),
    Option(
        name="white_point",
        kind="number",
        group="edges",
        help="alpha values from this one on become 1 (default): closes holes in the person",
        default=1.0,
        low=0,
        high=1,
        metavar="ALPHA",
        python="edges.white_point",
        nodes=Door(name="white_point", low=0.01, because="the black point is below it"),
    ),
    Option(
        name="gamma",
        kind="number",
        group="edges",
        help="make soft edges more opaque (above 1) or more transparent (below 1; default: 1)",
        default=1.0,
        low=0.1,
        high=10,
        metavar="N",
        python="edges.gamma",
        nodes=Door(name="gamma"),
    ),
    Option(
        name="decontaminate",
        kind="number",
        group="edges",
        help="colours at soft edges: 1 (default) takes the network's, without the old background, 0 the source's own",
        default=1.0,
        low=0,
        high=1,
        metavar="STRENGTH",
        nodes=Door(name="decontaminate"),
        obs=Door(name="decontaminate", default=50, high=100, because="per cent; half of it is faster in live video"),
    ),
    *NETWORK_OPTIONS,
    Option(
        name="json",
        kind="flag",
        group="messages",
        help="print progress and results as JSON on standard output, see below",
        default=False,
        python=None,
    ),
    Option(name="quiet", kind="flag", group="messages", help="print only errors", default=False, python=None),
)


def options_of(group: str) -> list[Option]:
    """The options of one group that the command line has."""
    return [option for option in OPTIONS if option.group == group and option.flag]


def option_of(name: str) -> Option:
    """The row of this name."""
    return next(option for option in OPTIONS if option.name == name)


def options_markdown() -> str:
    """The tables of the page docs/options.md.

    Example:
        >>> from rvm_studio import core
        >>> "--background" in core.options_markdown()
        True
    """
    return markdown(GROUPS, OPTIONS)
