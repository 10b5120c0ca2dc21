"""The rows of the table of options about the network: how it mattes a clip, which network it is, where it runs."""

from .matte_file import WARM_UP
from .option_form import Door, Option

NETWORK_OPTIONS = (
    Option(
        name="downsample_ratio",
        kind="ratio",
        group="matting",
        help="size of the network's input relative to the frames: auto (default; longest side 512), portrait, "
        "full_body, or a number up to 1; higher values keep finer detail and are slower",
        default="auto",
        choices=("auto", "portrait", "full_body"),
        low=0,
        high=1,
        metavar="RATIO",
        command="--downsample",
        nodes=Door(name="downsample"),
        obs=Door(name="downsample"),
    ),
    Option(
        name="warm_up",
        kind="count",
        group="matting",
        help=f"frames used to initialise the network's state, for a good first frame (default: {WARM_UP})",
        default=WARM_UP,
        low=0,
        metavar="N",
        nodes=Door(name="warm_up", high=100, because="a widget has an upper end"),
    ),
    Option(
        name="scene_cut",
        kind="threshold",
        group="matting",
        help="for edited videos: reset the network at every cut (a threshold of 0 to 2; default 0.4)",
        low=0,
        high=2,
        metavar="THRESHOLD",
        nodes=Door(name="scene_cut", default=0.0, high=1.9, because="0 is off; a widget always has a number"),
        obs=Door(name="scene_cuts", default=True, because="a switch; a live stream has no cuts to be found again"),
    ),
    Option(
        name="chunk",
        kind="count",
        group="matting",
        help="frames that the network processes at once (default: depends on the device)",
        low=1,
        metavar="N",
        python_default="auto",
        nodes=Door(name="chunk", default=0, low=0, high=64, because="0 is automatic"),
    ),
    Option(
        name="view_lut",
        kind="file",
        group="matting",
        help="a .cube LUT from a log profile to Rec. 709: the network sees the clip through it; the outputs keep the "
        "clip's own values",
        metavar="FILE.cube",
    ),
    Option(
        name="variant",
        kind="choice",
        group="network",
        help="mobilenetv3 (default, fast) or resnet50 (larger, slightly better, slower)",
        default="mobilenetv3",
        choices=("mobilenetv3", "resnet50"),
        nodes=Door(name="model", default=None, because="a file of weights is chosen"),
        obs=Door(name="model"),
    ),
    Option(
        name="weights",
        kind="file",
        group="network",
        help='weights file, or "starter" for the bundled weights (default: RVM_WEIGHTS, else downloaded once)',
        metavar="PATH",
    ),
    Option(
        name="mirror",
        kind="text",
        group="network",
        help="download weights from this address instead",
        metavar="URL",
    ),
    Option(
        name="refiner",
        kind="choice",
        group="network",
        help="how edges are upsampled to full resolution: deep (learned), fast (plain filter), or auto (default: the "
        "one for which the weights were trained)",
        default="auto",
        choices=("auto", "deep", "fast"),
        nodes=Door(name="refiner"),
    ),
    Option(
        name="device",
        kind="text",
        group="network",
        help="auto (default), cpu, cuda, cuda:1, xpu, mps",
        default="auto",
        nodes=Door(name="device"),
    ),
    Option(
        name="engine",
        kind="choice",
        group="network",
        help="how the network runs: auto (default: the fastest for this machine, see `rvm-studio info`), eager (plain "
        "PyTorch), folded (PyTorch, optimised for CPUs), openvino (CPU), graph (GPU; experimental: supported, not "
        "tested), compile (like graph, with torch.compile, which takes minutes at the first start; on a CPU, "
        "slower than openvino)",
        default="auto",
        choices=("auto", "eager", "folded", "openvino", "graph", "compile"),
    ),
    Option(
        name="precision",
        kind="text",
        group="network",
        help="auto (default: fp16 on GPUs that compute it well, mixed on CPUs with bf16, else fp32), fp32, fp16, bf16 "
        "(the fastest on a CPU, with visibly coarser soft edges), mixed (CPU: bf16 except in the encoder)",
        default="auto",
        nodes=Door(name="precision"),
    ),
    Option(
        name="threads",
        kind="count",
        group="network",
        help="CPU threads (default: all cores)",
        low=1,
        metavar="N",
    ),
)
