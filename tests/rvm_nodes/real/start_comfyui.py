"""Runs a ComfyUI checkout's main.py, also where torchvision's compiled library does not fit the installed torch.

Usage: start_comfyui.py CHECKOUT/main.py --cpu ... ; ComfyUI imports torchvision for models these tests never run.
RVM Studio has its own remedy (core/network/torchvision_import.py), which comes too late for ComfyUI.
"""

import os
import runpy
import sys

BOX_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def torchvision_loads() -> bool:
    try:
        import torchvision  # noqa: F401
    except (RuntimeError, ImportError, OSError):
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # half imported
        return False
    return True


if __name__ == "__main__":
    main = os.path.abspath(sys.argv[1])
    sys.argv = [main, *sys.argv[2:]]
    if not torchvision_loads():
        import torch

        for operator in ("torchvision::nms", "torchvision::qnms"):
            torch.library.define(operator, BOX_SCHEMA)
    sys.path[0] = os.path.dirname(main)  # where ComfyUI looks for its own modules; it was this file's folder
    runpy.run_path(main, run_name="__main__")
