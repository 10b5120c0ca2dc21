"""Selects and checks the device and precision in which the network runs, with an explanation of what cannot work."""

from contextlib import AbstractContextManager, nullcontext

import torch

from ..errors import StudioError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Precision names and their torch dtypes."""

DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
"""The inverse of `DTYPES`."""

# Turing GPUs without tensor cores, on which half-precision convolutions are known to give NaN.
_NO_HALF = ("GTX 1630", "GTX 1650", "GTX 1660")


def choose_device(wanted: str | torch.device = "auto") -> torch.device:
    """The device to run on.

    Args:
        wanted: A device such as "cuda:1", or "auto": the first available of CUDA (also ROCm), XPU, MPS and CPU.

    Returns:
        A device that exists.

    Raises:
        StudioError: This machine or this torch build does not have the device.

    Example:
        >>> from rvm_studio import core
        >>> core.choose_device("cpu")
        device(type='cpu')
    """
    if wanted == "auto":
        return torch.device(next(kind for kind in ("cuda", "xpu", "mps", "cpu") if _has(kind)))
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise StudioError(f"Unknown device {str(wanted)!r}. Use auto, cpu, cuda, cuda:1, xpu or mps.") from error
    if not _has(device.type):
        raise StudioError(
            f"Device {str(wanted)!r} is not available: torch {torch.__version__} on this machine has "
            f"{', '.join(kind for kind in ('cuda', 'xpu', 'mps', 'cpu') if _has(kind))}.",
            use=("device auto",),
            or_else="install a torch build for your GPU (https://pytorch.org/get-started/locally)",
        )
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        raise StudioError(
            f"Device {device} does not exist; this machine has {torch.cuda.device_count()} CUDA device(s)."
        )
    return device


def _has(kind: str) -> bool:
    if kind == "cpu":
        return True
    if kind == "mps":
        return torch.backends.mps.is_available()
    module = getattr(torch, kind, None)
    return module is not None and hasattr(module, "is_available") and module.is_available()


def choose_dtype(wanted: str | torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype to compute in.

    Args:
        wanted: "fp32", "fp16", "bf16", one of their dtypes, or "auto": fp16 on CUDA GPUs that compute it well, else
            fp32.
        device: The device that computes.

    Returns:
        A dtype that the device supports.

    Raises:
        StudioError: The precision is unknown, fp16 on a CPU (where it is many times slower than fp32), or bf16 without
            hardware support.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> core.choose_dtype("auto", torch.device("cpu"))
        torch.float32
    """
    if wanted == "auto":
        return torch.float16 if device.type == "cuda" and _half_works(device) else torch.float32
    dtype = DTYPES.get(wanted) if isinstance(wanted, str) else wanted
    if dtype not in DTYPE_NAMES:
        raise StudioError(f"Unknown precision {str(wanted)!r}. Use auto, {', '.join(DTYPES)}.")
    if dtype == torch.float16 and device.type == "cpu":
        raise StudioError("Precision fp16 is supported on GPUs only (it is far slower on a CPU). Use fp32 or bf16.")
    if dtype == torch.bfloat16 and not bf16_works(device):
        raise StudioError(f"Precision bf16 is not supported by this {device.type} device. Use fp32 (or auto).")
    return dtype


def _half_works(device: torch.device) -> bool:
    name = torch.cuda.get_device_name(device)
    return torch.cuda.get_device_capability(device) >= (7, 0) and not any(gpu in name for gpu in _NO_HALF)


def bf16_works(device: torch.device) -> bool:
    """Whether the device computes bfloat16 natively; otherwise it is emulated, slower than fp32.

    Args:
        device: A CPU, CUDA or XPU device; False for all others.

    Returns:
        True if the hardware supports bfloat16.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> precision = "bf16" if core.bf16_works(torch.device("cpu")) else "fp32"
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return device.type == "xpu"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities:
        return any(capabilities.get(key) for key in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


def no_autocast(x: torch.Tensor) -> AbstractContextManager:
    """A context in which autocast is off, so that operations keep the dtypes of their inputs.

    Args:
        x: Any tensor on the device concerned.

    Returns:
        A context manager.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> x = torch.rand(2, 2)
        >>> with torch.autocast("cpu", torch.bfloat16), core.no_autocast(x):
        ...     (x @ x).dtype
        torch.float32
    """
    kind = x.device.type
    # Check availability first, because naming a device without autocast (Apple's GPU in older PyTorch) is an error. Not
    # for the common ones: PyTorch 2.4 can trace neither that check nor, for exports, a context.
    has_autocast = kind in ("cpu", "cuda", "xpu") or torch.amp.is_autocast_available(kind)
    if has_autocast and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Half precision (fp16, bf16) converted to float32, where sums and powers keep more than 8 bits; other dtypes as
    they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def describe(device: torch.device) -> str:
    """One line about a device for messages.

    Args:
        device: The device.

    Returns:
        A GPU's name and memory in GB, or a CPU's number of threads and instruction set.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> core.describe_device(torch.device("cpu")).startswith("CPU, ")
        True
    """
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return f"{torch.cuda.get_device_name(device)}, {free / 2**30:.1f} of {total / 2**30:.1f} GB free"
    if device.type == "cpu":
        return f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    return device.type.upper()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means out of memory: from the allocators of CUDA, XPU, MPS, torch's CPU or Python."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    text = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "not enough memory")  # GPUs; the CPU on Linux; on Windows
    return isinstance(error, RuntimeError) and any(sign in text for sign in signs)


def release_cached_memory(device: torch.device) -> None:
    """Empties a GPU allocator's cache after an out-of-memory error, to make room for a smaller retry.

    Args:
        device: The device; nothing happens on a CPU.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> core.release_cached_memory(torch.device("cpu"))
    """
    if device.type in ("cuda", "xpu", "mps"):
        getattr(torch, device.type).empty_cache()
