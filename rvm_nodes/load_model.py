"""RVM Load Model: loads weights from the disk (or the official release) into a network that ComfyUI manages."""

import logging

from . import comfy_host
from .comfy_host import explained
from .model import RVMModel
from .widgets import entry

log = logging.getLogger(__name__)


@explained
class RVMLoadModel:
    DISPLAY_NAME = "RVM Load Model"
    DESCRIPTION = "Loads a matting network. The official weights are downloaded and verified on first use."
    CATEGORY = "video/matting"
    FUNCTION = "load"
    RETURN_TYPES = ("RVM_MODEL",)
    RETURN_NAMES = ("model",)
    OUTPUT_TOOLTIPS = ("For the model input of the other RVM nodes.",)

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "model": entry(
                    comfy_host.weights_names(),
                    "rvm_mobilenetv3: fast. rvm_resnet50: about six times the work, slightly "
                    "better. Both are downloaded on first use. Put your own weights into models/rvm.",
                ),
                "precision": entry(
                    ["auto", "fp32", "fp16", "bf16"],
                    "auto: fp16 on GPUs where it is fast, fp32 elsewhere.",
                    default="auto",
                ),
                "device": entry(
                    ["auto", "cpu"],
                    "auto: the device on which ComfyUI runs its models. cpu: slow, but uses no GPU memory.",
                    default="auto",
                ),
                "refiner": entry(
                    ["auto", "deep", "fast"],
                    "How the mask is brought to full resolution. auto: the refiner that the weights were trained for. "
                    "fast: a plain filter without weights.",
                    default="auto",
                ),
            }
        }

    def load(self, model: str, precision: str, device: str, refiner: str):
        from ..core import DEEP_REFINER, DTYPES, FAST_REFINER, choose_engine, load_network

        path = comfy_host.weights_path(model)
        network = load_network(path, refiner={"auto": "auto", "deep": DEEP_REFINER, "fast": FAST_REFINER}[refiner])
        place = comfy_host.torch_device(device)
        if precision == "auto" and not comfy_host.half_is_allowed(place):
            precision = "fp32"
        choice = choose_engine(place, precision=precision)
        log.info("RVM: %s, engine %s", path.name, choice)
        # The other engines run a copy of the network and keep their states in fp32.
        dtype = DTYPES[choice.precision if choice.engine == "eager" else "fp32"]
        network = network.requires_grad_(False).to(dtype)
        return (RVMModel(comfy_host.patcher_for(network, place), network, place, dtype, str(path), choice),)
