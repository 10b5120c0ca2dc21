"""The only place that imports torchvision.

A torchvision whose compiled library does not fit the installed torch fails at import ("operator torchvision::nms
does not exist"), though its models and transforms are plain Python. Declaring the two missing operator schemas
first lets the import through; nothing here ever calls them.
"""

import contextlib
import importlib.metadata
import importlib.util
from pathlib import Path

import torch

_BOX_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _compiled_library_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # no torchvision: let the import below say so
    for library in Path(spec.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(str(library))
            return True
        except OSError:
            return False
    return False


def _import_torchvision():
    if not _compiled_library_loads():
        for operator in ("torchvision::nms", "torchvision::qnms"):
            with contextlib.suppress(RuntimeError):  # already declared
                torch.library.define(operator, _BOX_SCHEMA)
    try:
        import torchvision.models as models
    except ImportError as error:
        raise ImportError(
            f"torchvision could not be imported ({error}). Install the release that fits torch "
            f"{importlib.metadata.version('torch')}, or run install.py again."
        ) from error
    return models


models = _import_torchvision()
