"""A recipe so small that all four stages take seconds."""

import importlib.util
import logging
from pathlib import Path

import pytest
from rvm_studio.training.recipe import Preset


@pytest.fixture(autouse=True)
def same_log():
    """The commands put a handler on the package's log; other tests' notes would be told twice."""
    log = logging.getLogger("rvm_studio")
    handlers, level = list(log.handlers), log.level
    yield
    log.handlers, log.level = handlers, level


@pytest.fixture(scope="session")
def small_preset() -> Preset:
    return Preset(
        "small",
        "for tests",
        clips=2,
        checkpoint_frames=None,
        precision="float32",
        segmentation_images=1,
        frames=(2, 2, 2, 2),
        high_frames=1,
        size=128,
        high_size=256,
        steps=(4, 2, 2, 2),
        statistics_momentum=0.1,
        rate_factor=2.0,
    )


@pytest.fixture(scope="session")
def filled_state_dict():
    """As in tests/core/network: every entry of a network's state dict by the reference's formula."""
    path = Path(__file__).parent.parent / "core" / "network" / "conftest.py"
    spec = importlib.util.spec_from_file_location("network_conftest", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def fill(network):
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        return {
            key: module.filled(key, shape, key.rsplit(".", 1)[0] + ".running_mean" in shapes)
            for key, shape in shapes.items()
        }

    return fill
