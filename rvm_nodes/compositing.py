"""RVM Composite, RVM Refine Mask and RVM Decontaminate: post-processing of a matte."""

from ..core import StudioError
from . import comfy_host
from .comfy_host import explained
from .widgets import entry

GROW = entry(
    "FLOAT",
    "Grows the subject by this many pixels. Negative values shrink it, which hides a rim of the old background.",
    default=0.0,
    min=-64.0,
    max=64.0,
    step=0.5,
)
FEATHER = entry(
    "FLOAT", "Softens the edge with a Gaussian blur of this many pixels.", default=0.0, min=0.0, max=64.0, step=0.5
)
BLACK_POINT = entry(
    "FLOAT",
    "Mask values up to this become 0: removes haze from the background.",
    default=0.0,
    min=0.0,
    max=0.99,
    step=0.01,
)
WHITE_POINT = entry(
    "FLOAT",
    "Mask values from this up become 1: closes holes in the subject. Must be above the black point.",
    default=1.0,
    min=0.01,
    max=1.0,
    step=0.01,
)


class Steps:
    """Called before every frame: advances the progress bar, and ends the node if the user has pressed cancel."""

    def __init__(self, total: int):
        self._progress, self._total, self._done = comfy_host.Progress(total), total, 0

    def __call__(self) -> None:
        comfy_host.end_if_cancelled()
        self._done += 1
        self._progress(self._done, self._total)


@explained
class RVMComposite:
    DISPLAY_NAME = "RVM Composite"
    DESCRIPTION = "Puts the person over a colour, a picture, a clip or the blurred background."
    CATEGORY = "video/matting"
    FUNCTION = "composite"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)
    OUTPUT_TOOLTIPS = ("The finished frames.",)

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "foreground": entry("IMAGE", "From RVM Matte. Straight colours, not premultiplied."),
                "mask": entry("MASK", "1 is the person."),
                "mode": entry(
                    ["color", "image", "blur"],
                    "color: over a colour. image: over the background input, scaled to cover the "
                    "frame; a clip is looped. blur: over the blurred background input (connect the "
                    "original frames).",
                    default="color",
                ),
                "color": entry(
                    "STRING",
                    "With mode = color: a name such as white, or #00b140 (the green of green screens).",
                    default="#00b140",
                ),
                "blur": entry(
                    "FLOAT",
                    "With mode = blur: the strength. 1 is a standard deviation of 1/40 of the longest side.",
                    default=1.0,
                    min=0.1,
                    max=4.0,
                    step=0.1,
                ),
                "linear_light": entry(
                    "BOOLEAN",
                    "Blend in linear light: hair over bright backgrounds looks less"
                    " dark. Off: as video editors and browsers do it.",
                    default=False,
                ),
                "invert_mask": entry(
                    "BOOLEAN", "For masks in which 1 is the background, such as LoadImage's.", default=False
                ),
            },
            "optional": {
                "background": entry("IMAGE", "For mode = image and mode = blur: a picture, or the frames of a clip."),
            },
        }

    def composite(self, foreground, mask, mode, color, blur, linear_light, invert_mask, background=None):
        from ..core import composite_pictures, parse_color

        if mode == "color":
            background = parse_color(color)
        elif background is None:
            raise StudioError(f"mode = {mode} needs the background input. Connect an IMAGE to it, or use mode = color.")
        return (
            composite_pictures(
                foreground,
                1 - mask if invert_mask else mask,
                background,
                blur=blur if mode == "blur" else None,
                linear_light=linear_light,
                each=Steps(max(len(foreground), len(mask))),
            ),
        )


@explained
class RVMRefineMask:
    DISPLAY_NAME = "RVM Refine Mask"
    DESCRIPTION = "Moves, softens or hardens the edge of a mask, and reduces flicker."
    CATEGORY = "video/matting"
    FUNCTION = "refine"
    RETURN_TYPES = ("MASK",)
    RETURN_NAMES = ("mask",)
    OUTPUT_TOOLTIPS = ("1 is the person.",)

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "mask": entry("MASK", "1 is the person."),
                "grow": GROW,
                "feather": FEATHER,
                "black_point": BLACK_POINT,
                "white_point": WHITE_POINT,
                "gamma": entry(
                    "FLOAT",
                    "Above 1 makes soft parts more solid, below 1 more transparent.",
                    default=1.0,
                    min=0.1,
                    max=10.0,
                    step=0.05,
                ),
                "temporal": entry(
                    "FLOAT",
                    "Smooths the mask over the previous and the next frame. This network's masks hardly "
                    "flicker; use it for masks from other nodes.",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                ),
                "invert": entry("BOOLEAN", "Invert the mask first, as LoadImage's masks need.", default=False),
            }
        }

    def refine(self, mask, grow, feather, black_point, white_point, gamma, temporal, invert):
        from ..core import EdgeOptions, refine_masks

        options = EdgeOptions(grow, feather, black_point, white_point, gamma)
        return (refine_masks(mask, options, temporal=temporal, invert=invert, each=Steps(len(mask))),)


@explained
class RVMDecontaminate:
    DISPLAY_NAME = "RVM Decontaminate"
    DESCRIPTION = (
        "Removes the old background's colour from hair and soft edges, and the tint of a green or blue screen from the "
        "person. RVM Matte's foreground is clean already: use this for masks that were edited or come from elsewhere."
    )
    CATEGORY = "video/matting"
    FUNCTION = "decontaminate"
    RETURN_TYPES = ("IMAGE", "IMAGE")
    RETURN_NAMES = ("foreground", "rgba")
    OUTPUT_TOOLTIPS = (
        "The person's own colours, for use with the mask.",
        "foreground and mask in one, straight alpha, for RVM Save RGBA.",
    )

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "images": entry("IMAGE", "The original frames."),
                "mask": entry("MASK", "1 is the person."),
                "strength": entry(
                    "FLOAT",
                    "0 keeps the frames' colours; 1 replaces them where the mask is soft.",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                ),
                "spill_color": entry(
                    "STRING",
                    "Colour of the screen that tints the person: green, blue, or a value such as #00b140. Empty: none.",
                    default="",
                ),
                "spill_strength": entry(
                    "FLOAT",
                    "How much of that tint is removed. Clothes of the same colour become duller, too.",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                ),
            },
            "optional": {
                "foreground": entry("IMAGE", "RVM Matte's foreground, to be used instead of an estimate."),
            },
        }

    def decontaminate(self, images, mask, strength, spill_color, spill_strength, foreground=None):
        from ..core import decontaminate_pictures, parse_color

        rgba = decontaminate_pictures(
            images,
            mask,
            strength,
            foreground=foreground,
            spill=parse_color(spill_color) if spill_color.strip() else None,
            spill_strength=spill_strength,
            each=Steps(max(len(images), len(mask))),
        )
        return rgba[..., :3], rgba
