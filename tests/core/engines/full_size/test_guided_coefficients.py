"""The guided filters' coefficients, by kernels and by plain PyTorch, against the network's refiners."""

import pytest
import torch
from rvm_studio.core.engines.full_size import guided_coefficients
from rvm_studio.core.engines.full_size.guided_coefficients import coefficients
from rvm_studio.core.engines.full_size.kernel_runner import compiled_kernels
from rvm_studio.core.network.guided_filter import DeepGuidedFilterRefiner, FastGuidedFilterRefiner


@pytest.fixture(params=["numba", "plain"])
def backend(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(guided_coefficients, "compiled_kernels", lambda: None)
    elif compiled_kernels() is None:
        pytest.skip("numba is not installed")


@torch.inference_mode()
@pytest.mark.parametrize("channels", [4, 1])
@pytest.mark.parametrize(("height", "width"), [(120, 90), (37, 53), (1, 7), (8, 1)])
@pytest.mark.parametrize("learned", [False, True])
def test_against_the_refiner(backend, height, width, channels, learned):
    generator = torch.manual_seed(height)
    small, matte = (torch.rand(2, n, height, width, generator=generator) for n in (3, 4))
    hid = torch.rand(2, 16, height, width, generator=generator)
    refiner = DeepGuidedFilterRefiner().eval() if learned else FastGuidedFilterRefiner()
    A, b = refiner.double().coefficients(  # noqa: N806
        small.double(), matte[:, :3].double(), matte[:, 3:].double(), hid.double()
    )
    refiner.float()
    slope = None
    if learned:
        box = torch.rand(4, 1, 3, 3, generator=generator) / 5
        refiner.box_filter.weight.copy_(box)
        A, b = refiner.coefficients(small, matte[:, :3], matte[:, 3:], hid)  # noqa: N806
        slope = lambda statistics: refiner.slope(*statistics.chunk(2, 1), hid)[:, -channels:]  # noqa: E731
    given = matte if learned else matte[:, -channels:]
    solved = coefficients(refiner, small, given, slope)
    assert solved.shape == (2, 2 * channels, height, width)
    truth = torch.cat([A[:, -channels:], b[:, -channels:]], 1)
    assert (solved - truth).abs().max() < 2e-4
