"""The widgets that all matting nodes share."""

from typing import TYPE_CHECKING

from .widgets import entry

if TYPE_CHECKING:
    pass

DOWNSAMPLE = entry(
    ["auto", "portrait", "full_body", "custom"],
    "How far frames are scaled down for the network; the mask is always full resolution. "
    "auto: the longest side becomes 512 pixels. portrait: head and shoulders. "
    "full_body: people who are small in the frame (finer detail, slower). custom: "
    "use custom_ratio.",
    default="auto",
)
CUSTOM_RATIO = entry(
    "FLOAT",
    "With downsample = custom: the scale of the network's input, relative to the frame. 1"
    " is the full size: slow, and useful for small frames only.",
    default=0.25,
    min=0.05,
    max=1.0,
    step=0.05,
)
WARM_UP = entry(
    "INT",
    "Frames that the network sees, in reverse order, before the first one, so that the first mask is"
    " as good as the others. They are taken from the first batch, which needs at least one frame "
    "more than this. Ignored if a state is connected.",
    default=12,
    min=0,
    max=100,
)
SCENE_CUT = entry(
    "FLOAT",
    "For edited clips: reset the network's memory at every cut. 0: off. 0.4 finds nearly every"
    " cut; lower values find more, higher values fewer.",
    default=0.0,
    min=0.0,
    max=1.9,
    step=0.05,
)
CHUNK = entry(
    "INT",
    "Frames processed at once; 0 chooses by device and frame size. The results differ only by "
    "rounding. Halved automatically when memory runs out.",
    default=0,
    min=0,
    max=64,
)
STATE = entry("RVM_STATE", "The state after the previous frames, to continue from them without a visible seam.")


def matte_widgets() -> dict[str, tuple]:
    """The shared widgets by name, in display order."""
    return {
        "downsample": DOWNSAMPLE,
        "custom_ratio": CUSTOM_RATIO,
        "warm_up": WARM_UP,
        "scene_cut": SCENE_CUT,
        "chunk": CHUNK,
    }
