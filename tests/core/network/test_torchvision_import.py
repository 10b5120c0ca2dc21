"""torchvision comes without the compiler, which still works when it is asked for."""

import subprocess
import sys

import pytest

CODE = """
import sys
from rvm_studio.core.network.torchvision_import import models
print(any(name.startswith("torch._dynamo") for name in sys.modules))
import torch
print(torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item())
print(sys.modules["torch._dynamo"].__file__ is not None)
from torchvision.ops.roi_align import is_compile_supported
print(is_compile_supported("cpu") == sys.modules["torch._dynamo.utils"].is_compile_supported("cpu"))
"""


SILENCE = """
import av.logging
av.logging.set_level(av.logging.ERROR)
import rvm_studio.core.network.torchvision_import
print(av.logging.get_level())
"""


@pytest.mark.slow
@pytest.mark.versions
def test_libav_stays_silent():
    """Older releases have its messages go through Python, which may wait for the one who waits for it."""
    done = subprocess.run([sys.executable, "-c", SILENCE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"


@pytest.mark.slow
@pytest.mark.versions
def test_the_compiler_is_left_out_and_works_later():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False", "2.0", "True", "True"]
