"""The only module that imports torchvision.

A torchvision whose compiled library does not match the installed torch fails at import ("operator torchvision::nms
does not exist"), although its models and transforms are plain Python. Declaring the two missing operators first makes
the import succeed; they are never called here.

torchvision also imports torch._dynamo, the compiler, for a single function that inference never calls, which takes half
as long as loading torch itself. A stand-in defers that import until the function is called.
"""

import contextlib
import importlib.metadata
import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import torch

from ..machine.install_advice import pip_command
from ..machine.libav_log import silence_libav

_BOX_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def _compiled_library_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # no torchvision: the import below reports it
    for library in Path(spec.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(str(library))
            return True
        except OSError:
            return False
    return False


@contextlib.contextmanager
def _dynamo_left_out() -> Iterator[None]:
    """A context in which `from torch._dynamo.utils import is_compile_supported` does not import the compiler."""
    if "torch._dynamo" in sys.modules:
        yield
        return

    def is_compile_supported(device_type: str) -> bool:
        from torch._dynamo.utils import is_compile_supported as real

        return real(device_type)

    package, utils = types.ModuleType("torch._dynamo"), types.ModuleType("torch._dynamo.utils")
    package.__path__ = []
    setattr(utils, is_compile_supported.__name__, is_compile_supported)
    stand_ins = {module.__name__: module for module in (package, utils)}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _fitting_release() -> str:
    """The torchvision release for the installed torch: 0.(x + 15) for torch 2.x."""
    major, minor = importlib.metadata.version("torch").split(".")[:2]
    return f"torchvision==0.{int(minor) + 15}.*" if major == "2" else "torchvision"


def _import_torchvision():
    if not _compiled_library_loads():
        for operator in ("torchvision::nms", "torchvision::qnms"):
            with contextlib.suppress(RuntimeError):  # already declared
                torch.library.define(operator, _BOX_SCHEMA)
    try:
        with _dynamo_left_out():
            import torchvision.models as models
    except ImportError as error:
        raise ImportError(
            f"torchvision could not be imported ({error}). Install the release for torch "
            f"{importlib.metadata.version('torch')}: {pip_command('--no-deps', _fitting_release())}"
        ) from error
    return models


models = _import_torchvision()
silence_libav()  # older releases route libav's messages to Python's logging
