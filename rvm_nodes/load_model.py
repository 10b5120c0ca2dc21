"""RVM Load Model: weights from the disk (or the official release) to a network in ComfyUI's care."""

import logging

from . import comfy_host
from .comfy_host import explained
from .matte_options import RVMModel
from .widgets import entry

log = logging.getLogger(__name__)


@explained
class RVMLoadModel:
    DISPLAY_NAME = "RVM Load Model"
    DESCRIPTION = "Loads a matting network. The official weights are downloaded once, and verified, when first used."
    CATEGORY = "video/matting"
    FUNCTION = "load"
    RETURN_TYPES = ("RVM_MODEL",)
    RETURN_NAMES = ("model",)
    OUTPUT_TOOLTIPS = ("For all RVM nodes that matte.",)

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {
            "required": {
                "model": entry(
                    comfy_host.weights_names(),
                    "rvm_mobilenetv3: fast. rvm_resnet50: about six times the work, somewhat "
                    "better. Both are fetched when first used; your own go into models/rvm.",
                ),
                "precision": entry(
                    ["auto", "fp32", "fp16", "bf16"],
                    "auto: fp16 on cards that compute it well, fp32 elsewhere.",
                    default="auto",
                ),
                "device": entry(
                    ["auto", "cpu"],
                    "auto: where ComfyUI runs its models. cpu: slow, but leaves the card's memory alone.",
                    default="auto",
                ),
                "refiner": entry(
                    ["auto", "deep", "fast"],
                    "How edges get their full resolution. auto: whichever the weights are for. "
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
        # Other engines run a copy, and keep their states in fp32.
        dtype = DTYPES[choice.precision if choice.engine == "eager" else "fp32"]
        network = network.requires_grad_(False).to(dtype)
        return (RVMModel(comfy_host.patcher_for(network, place), network, place, dtype, str(path), choice),)
