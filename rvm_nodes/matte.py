"""RVM Matte and RVM Segment: batches of frames; the state is carried from one batch to the next."""

from ..core import StudioError
from . import comfy_host
from .comfy_host import explained
from .matte_options import STATE, matte_widgets
from .meta_batch import CARRIED, find_batch
from .model import RVMModel, state_output
from .widgets import entry


class _MatteFrames:
    """What both nodes share: the inputs, and running a batch through a session."""

    CATEGORY = "video/matting"
    FUNCTION = "matte"
    segment = False

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "model": entry("RVM_MODEL", "From RVM Load Model."),
                "images": entry(
                    "IMAGE",
                    "Frames of one clip, in order. For long clips use RVM Matte Video, which does not hold all frames "
                    "in memory, or VideoHelperSuite's Meta Batch Manager.",
                ),
                **matte_widgets(),
                "carry": entry(
                    ["auto", "never"],
                    "auto: with VideoHelperSuite's Meta Batch Manager, each batch continues where "
                    "the previous one ended. never: every run starts without a state.",
                    default="auto",
                ),
            },
            "optional": {"state": STATE},
            "hidden": {"prompt": "PROMPT", "unique_id": "UNIQUE_ID"},
        }

    def run(self, model, images, carry, state, prompt, unique_id, options):
        """-> (RGBA pictures [T, H, W, 4], or the segmentation head's alpha [T, H, W]; state after the last frame)."""
        from ..core import matte_pictures

        if images.ndim != 4 or images.shape[-1] < 3:
            raise StudioError(
                f"The images have the shape {list(images.shape)}; expected [frames, height, width, 3]. Connect an "
                "IMAGE of colour frames."
            )
        batch = find_batch(prompt, unique_id) if carry == "auto" and state is None else None
        before = CARRIED.before(batch) if batch else state
        height, width = images.shape[1:3]
        session = RVMModel.session(model, height, width, segment=self.segment, state=before, **options)
        progress = comfy_host.Progress(len(images))
        result = matte_pictures(
            session,
            images,
            foreground=not self.segment,
            device=comfy_host.result_device(),
            on_progress=progress,
            on_result=progress.show,
        )
        after = state_output(session)
        if batch:
            CARRIED.keep(batch, before, after)
        return result, after


@explained
class RVMMatte(_MatteFrames):
    DISPLAY_NAME = "RVM Matte"
    DESCRIPTION = (
        "Cuts people out of the frames of a clip. The network remembers earlier frames, so hair is soft and nothing "
        "flickers."
    )
    RETURN_TYPES = ("IMAGE", "MASK", "IMAGE", "RVM_STATE")
    RETURN_NAMES = ("foreground", "mask", "rgba", "state")
    OUTPUT_TOOLTIPS = (
        "The person's own colours, without background colour at the edges. Use it with the mask.",
        "1 is the person, 0 the background. LoadImage's masks are inverted: see invert in RVM Refine Mask.",
        "foreground and mask in one, straight alpha, for RVM Save RGBA. Transparent pixels have colours, too.",
        "The network's memory after the last frame, for the frames that follow.",
    )

    def matte(self, model, images, carry="auto", state=None, prompt=None, unique_id=None, **options):
        rgba, after = self.run(model, images, carry, state, prompt, unique_id, options)
        # Views, so that three outputs take the memory of one. ComfyUI's own VAE returns views, too.
        return rgba[..., :3], rgba[..., 3], rgba, after


@explained
class RVMSegment(_MatteFrames):
    DISPLAY_NAME = "RVM Segment"
    DESCRIPTION = (
        "Finds people with the network's segmentation head. The mask is coarse and has no hair detail: use it to "
        "select people, not to cut them out."
    )
    RETURN_TYPES = ("MASK", "RVM_STATE")
    RETURN_NAMES = ("mask", "state")
    OUTPUT_TOOLTIPS = (
        "The probability that a pixel shows a person, 0 to 1.",
        "The network's memory after the last frame, for the frames that follow.",
    )
    segment = True

    def matte(self, model, images, carry="auto", state=None, prompt=None, unique_id=None, **options):
        mask, after = self.run(model, images, carry, state, prompt, unique_id, options)
        return mask, after
