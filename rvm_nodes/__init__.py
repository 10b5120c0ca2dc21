"""The ComfyUI nodes: a thin layer. The work is done in `core`; all calls to ComfyUI are in `comfy_host`."""

from .compositing import RVMComposite, RVMDecontaminate, RVMRefineMask
from .load_model import RVMLoadModel
from .matte import RVMMatte, RVMSegment
from .matte_video import RVMMatteVideo
from .save_video import RVMSaveAlphaVideo, RVMSaveRGBA
from .state_files import RVMLoadState, RVMSaveState

NODES = (
    RVMLoadModel,
    RVMMatte,
    RVMMatteVideo,
    RVMSaveAlphaVideo,
    RVMSaveRGBA,
    RVMComposite,
    RVMRefineMask,
    RVMDecontaminate,
    RVMSegment,
    RVMSaveState,
    RVMLoadState,
)
# Saved graphs refer to these names: never change them.
NODE_CLASS_MAPPINGS = {node.__name__: node for node in NODES}
NODE_DISPLAY_NAME_MAPPINGS = {node.__name__: node.DISPLAY_NAME for node in NODES}
