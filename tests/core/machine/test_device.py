"""Device and precision choice, with graphics cards faked where this machine has none."""

import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.core.machine import device as device_module
from rvm_studio.core.machine.device import choose_device, choose_dtype, is_out_of_memory

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


@pytest.fixture
def card(monkeypatch):
    """`card(name, capability)` makes torch see one CUDA card."""

    def fake(name, capability):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: name)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)

    return fake


@pytest.mark.parametrize(
    ("name", "capability", "expected"),
    [
        ("NVIDIA GeForce RTX 3060", (8, 6), torch.float16),
        ("NVIDIA GeForce RTX 2070", (7, 5), torch.float16),
        ("NVIDIA GeForce GTX 1660 SUPER", (7, 5), torch.float32),
        ("NVIDIA GeForce GTX 1080 Ti", (6, 1), torch.float32),
    ],
)
def test_automatic_precision_by_card(card, name, capability, expected):
    card(name, capability)
    assert choose_device("auto") == CUDA
    assert choose_dtype("auto", CUDA) == expected


def test_bf16_needs_ampere(card):
    card("NVIDIA GeForce RTX 2070", (7, 5))
    with pytest.raises(StudioError, match="bf16 is not supported"):
        choose_dtype("bf16", CUDA)
    card("NVIDIA GeForce RTX 3060", (8, 6))
    assert choose_dtype("bf16", CUDA) == torch.bfloat16


def test_the_cpu_computes_in_float32_unless_asked(monkeypatch):
    assert choose_dtype("auto", CPU) == torch.float32
    with pytest.raises(StudioError, match="fp16 is supported on GPUs only"):
        choose_dtype("fp16", CPU)
    monkeypatch.setattr(device_module, "bf16_works", lambda device: False)
    with pytest.raises(StudioError, match="bf16 is not supported by this cpu"):
        choose_dtype("bf16", CPU)
    monkeypatch.setattr(device_module, "bf16_works", lambda device: True)
    assert choose_dtype("bf16", CPU) == torch.bfloat16


def test_what_does_not_exist_is_refused_with_a_way_out(card):
    with pytest.raises(StudioError, match=r"Unknown device 'gpu'. Use auto, cpu"):
        choose_device("gpu")
    with pytest.raises(StudioError, match="Unknown precision 'int8'"):
        choose_dtype("int8", CPU)
    if not torch.cuda.is_available():
        with pytest.raises(StudioError, match="'cuda' is not available"):
            choose_device("cuda")
    card("NVIDIA GeForce RTX 3060", (8, 6))
    with pytest.raises(StudioError, match="cuda:3 does not exist; this machine has 1"):
        choose_device("cuda:3")


def test_out_of_memory_is_told_from_other_errors():
    with pytest.raises(RuntimeError) as real:
        torch.empty(10**14)
    assert is_out_of_memory(real.value)
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"))
    windows = "DefaultCPUAllocator: not enough memory: you tried to allocate 800000000 bytes."
    assert is_out_of_memory(RuntimeError(windows))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_exactly(dtype):
    x = torch.tensor([0.1, 1.5, -2.0], dtype=dtype)
    wide = device_module.at_least_float32(x)
    assert wide.dtype == torch.float32
    assert torch.equal(wide.to(dtype), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
def test_other_dtypes_are_not_copied(dtype):
    x = torch.ones(2, dtype=dtype)
    assert device_module.at_least_float32(x) is x
