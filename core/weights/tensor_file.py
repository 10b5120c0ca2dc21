"""Reads and writes weights files from any source: tensors by name, and metadata. Independent of networks.

PyTorch's own format is a pickle, which may contain any program. It is only read with weights_only, so no code in a file
is ever run.
"""

import hashlib
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import StudioError, boundary
from ..machine.whole_file import whole_file

SUFFIXES = (".safetensors", ".pth", ".pt")
"""The suffixes of weights files that can be read, in order of preference."""

ANOTHER_COPY = "Get another copy, or use the official weights."
DIGEST = "tensors_sha256"
_TEXT = frozenset(range(32, 127)) | frozenset(b"\t\n\r")


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors by name, unconverted; metadata) of a .safetensors, .pth or .pt file, on the CPU.

    A state dict may be bare or under "model" or "state_dict". Raises StudioError if the file is missing, empty,
    truncated, damaged, text, TorchScript, Python code, or contains no state dict.
    """
    if not path.is_file():
        raise StudioError(f"{path} does not exist or is not a file. Give the path of a weights file, or omit it.")
    if path.suffix not in SUFFIXES:
        raise StudioError(f"{path} has an unknown suffix: expected {', '.join(SUFFIXES)}")
    with boundary(f"{path} cannot be read", ANOTHER_COPY.rstrip(".")):
        with open(path, "rb") as file:
            head = file.read(512)
        if not head:
            raise StudioError(f"{path} is empty: did its download fail? {ANOTHER_COPY}")
        if _TEXT.issuperset(head) or head.lstrip().startswith(b"<"):
            raise StudioError(
                f"{path} is text, not weights: it begins with {head[:40].decode(errors='replace')!r}. Probably a "
                f"web page or an error message was saved instead of the file. {ANOTHER_COPY}"
            )
        return _read_safetensors(path) if path.suffix == ".safetensors" else (_read_pth(path, head), {})


def read_names(path: Path) -> list[str]:
    """The names of the tensors, for .safetensors from the header alone. Raises StudioError like `read_tensors`."""
    if path.suffix != ".safetensors":
        return list(read_tensors(path)[0])
    try:
        with safe_open(path, "pt") as file:
            return list(file.keys())
    except (SafetensorError, OSError) as error:
        raise StudioError(f"{path} is damaged or truncated ({error}). {ANOTHER_COPY}") from error


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, sync: bool = False
) -> None:
    """Writes .safetensors (contiguous CPU tensors) completely or not at all, with a hash that `read_tensors`
    checks. sync: wait until it is on the disk.

    Raises StudioError if the suffix is wrong or the file cannot be written.
    """
    if path.suffix != ".safetensors":
        raise StudioError(f"{path}: weights are written as .safetensors; use that suffix")
    # through bytes: safetensors' own save_file creates files that only their owner can read
    content = safetensors.torch.save(dict(tensors), {**metadata, DIGEST: digest(tensors)})
    try:
        with whole_file(path, sync=sync, keeps_suffix=False) as temporary:  # not .safetensors, as lists of weights show
            temporary.write_bytes(content)
    except OSError as error:
        raise StudioError(f"{path} cannot be written ({error}). Free some space or choose another folder.") from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            # cloned: the tensors are views of the mapped file, which would otherwise stay open (and locked on Windows)
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise StudioError(f"{path} is damaged or truncated ({error}). {ANOTHER_COPY}") from error
    if DIGEST in metadata and metadata[DIGEST] != digest(tensors):
        raise StudioError(f"{path} is damaged: its tensors have changed since it was saved. {ANOTHER_COPY}")
    return tensors, metadata


def _read_pth(path: Path, head: bytes) -> dict[str, Tensor]:
    # Only the zip format of torch >= 1.6 (every RVM file is newer), and no TorchScript in it: older torch releases
    # run TorchScript archives even under weights_only.
    if not head.startswith(b"PK"):
        raise StudioError(f"{path} is not a PyTorch checkpoint (a zip archive). {ANOTHER_COPY}")
    try:
        with zipfile.ZipFile(path) as archive:
            is_program = any(name.endswith("/constants.pkl") for name in archive.namelist())
        content = None if is_program else torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # damaged archives and pickles raise almost any exception
        if code := re.search(r"GLOBAL (\S+)", str(error)):
            raise StudioError(
                f"{path} contains Python code or objects ({code[1].rstrip('.')}), not only weights; none of it was "
                f"run. Get the state dict alone, preferably as .safetensors, from its author."
            ) from error
        reason = str(error).split("\n")[0] or type(error).__name__
        raise StudioError(f"{path} is damaged or truncated ({reason}). {ANOTHER_COPY}") from error
    if is_program:
        raise StudioError(f"{path} is a TorchScript program, not weights. Give the .pth state dict instead.")
    return _state_dict(content, path)


def _state_dict(content: object, path: Path) -> dict[str, Tensor]:
    for wrapping in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapping), dict):
            content = content[wrapping]
    if not isinstance(content, dict) or not content:
        raise StudioError(f"{path} contains a {type(content).__name__}, expected a state dict (name -> tensor)")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise StudioError(
                f"{path} contains a {type(tensor).__name__} under {name!r}, expected a state dict (name -> tensor), "
                f"bare or under 'model' or 'state_dict'"
            )
    return {name: tensor.detach() for name, tensor in content.items()}


def digest(tensors: Mapping[str, Tensor]) -> str:
    """A hash of names, dtypes, shapes and bytes. safetensors itself detects a truncated file but no changed bits."""
    sha256 = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha256.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        sha256.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()
