"""Where and in which precision the network runs: chosen safely, refused with a reason where it cannot work."""

from contextlib import AbstractContextManager, nullcontext

import torch

from ..errors import StudioError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}

# Turing cards without tensor cores, on which half-precision convolutions are known to give NaN.
_NO_HALF = ("GTX 1630", "GTX 1650", "GTX 1660")


def choose_device(wanted: str | torch.device = "auto") -> torch.device:
    """ "auto": CUDA (also ROCm), then XPU, then MPS, then the CPU; or what is asked for, checked to exist.

    Raises StudioError for a device this machine or this torch does not have.
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
            or_else="install a torch build for your graphics card (https://pytorch.org/get-started/locally)",
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
    """ "auto": fp16 on CUDA cards that compute it well, else fp32. "fp32", "fp16", "bf16" as asked where they work.

    fp16 is refused on the CPU (there it is many times slower than fp32), bf16 where the hardware lacks it.
    """
    if wanted == "auto":
        return torch.float16 if device.type == "cuda" and _half_works(device) else torch.float32
    dtype = DTYPES.get(wanted) if isinstance(wanted, str) else wanted
    if dtype not in DTYPE_NAMES:
        raise StudioError(f"Unknown precision {str(wanted)!r}. Use auto, {', '.join(DTYPES)}.")
    if dtype == torch.float16 and device.type == "cpu":
        raise StudioError("Precision fp16 works on graphics cards only (on a CPU it is far slower). Use fp32 or bf16.")
    if dtype == torch.bfloat16 and not bf16_works(device):
        raise StudioError(f"Precision bf16 is not supported by this {device.type} device. Use fp32 (or auto).")
    return dtype


def _half_works(device: torch.device) -> bool:
    name = torch.cuda.get_device_name(device)
    return torch.cuda.get_device_capability(device) >= (7, 0) and not any(card in name for card in _NO_HALF)


def bf16_works(device: torch.device) -> bool:
    """Whether the device computes bfloat16 natively; elsewhere it is emulated, slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu":
        return device.type == "xpu"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    if capabilities:
        return any(capabilities.get(key) for key in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())


def no_autocast(x: torch.Tensor) -> AbstractContextManager:
    """A context in which x's device computes in the dtypes that are given, also under autocast."""
    kind = x.device.type
    # Asking first: naming a device without autocast (Apple's GPU in older PyTorch) is an error. Not for the usual ones:
    # PyTorch 2.4 can trace neither that question nor, to export it, a context.
    has_autocast = kind in ("cpu", "cuda", "xpu") or torch.amp.is_autocast_available(kind)
    if has_autocast and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def describe(device: torch.device) -> str:
    """One line for people: the device and, on a graphics card, its memory."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return f"{torch.cuda.get_device_name(device)}, {free / 2**30:.1f} of {total / 2**30:.1f} GB free"
    if device.type == "cpu":
        return f"CPU, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    return device.type.upper()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out: CUDA, XPU and MPS allocators, torch's on the CPU, Python's."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    text = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "not enough memory")  # cards; the CPU on Linux; on Windows
    return isinstance(error, RuntimeError) and any(sign in text for sign in signs)


def release_cached_memory(device: torch.device) -> None:
    """Gives the allocator's cache back after an out-of-memory, so that a smaller retry finds room."""
    if device.type in ("cuda", "xpu", "mps"):
        getattr(torch, device.type).empty_cache()
