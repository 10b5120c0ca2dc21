"""The reference README's fill formula: a reproducible state dict for networks without a weights file."""

import zlib

import numpy as np
import pytest
import torch
from torch import Tensor, nn


def filled(key: str, shape: tuple[int, ...], is_batch_norm: bool) -> Tensor:
    """One entry of the state dict, float64 arithmetic rounded once to float32."""
    rs = np.random.RandomState(zlib.crc32(key.encode("ascii")))
    pre, leaf = key.rsplit(".", 1)
    if leaf == "num_batches_tracked":
        return torch.tensor(0, dtype=torch.int64)
    if leaf == "running_mean" or leaf == "bias":
        value = 0.1 * rs.standard_normal(shape)
    elif leaf == "running_var":
        value = 0.5 + rs.random_sample(shape)
    elif is_batch_norm and pre.endswith(".bn3"):
        value = 0.2 + 0.2 * rs.random_sample(shape)
    elif is_batch_norm:
        value = 0.8 + 0.4 * rs.random_sample(shape)
    elif key == "refiner.box_filter.weight":
        value = (1 + 0.1 * rs.standard_normal(shape)) / 9
    else:
        value = rs.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(value).astype(np.float32))


@pytest.fixture(scope="session")
def filled_state_dict():
    """`filled_state_dict(network)` -> every entry of the network's state dict by the formula."""

    def fill(network: nn.Module) -> dict[str, Tensor]:
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        return {
            key: filled(key, shape, key.rsplit(".", 1)[0] + ".running_mean" in shapes) for key, shape in shapes.items()
        }

    return fill
