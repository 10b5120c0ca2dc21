"""A stream's state outside a session: as a plain dict for other programs, and as a safetensors file."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import StudioError
from ..machine.device import DTYPE_NAMES, DTYPES
from ..network.matting_network import ENCODERS
from ..weights.tensor_file import DIGEST, digest, write_tensors
from .session import StreamState

FORMAT = "rvm-studio-state"
TEXT_DIGEST = "texts_sha256"
"""In a state's file: the hash of all its texts but the hashes."""

_REC = ("r1", "r2", "r3", "r4")
_HINT = "Connect the state output of a matting node, or load a file that was saved from one."


def state_to_dict(state: StreamState) -> dict[str, object]:
    """r1..r4 ([1, C, h, w]) and scene ([3, 26, 26] or None) as tensors on the CPU; variant, dtype ("fp32" ...),
    height, width, downsample_ratio and frame_count as plain values."""
    return {
        **{name: r.detach().cpu() for name, r in zip(_REC, state.rec, strict=True)},
        "scene": state.scene,
        "variant": state.variant,
        "height": state.height,
        "width": state.width,
        "downsample_ratio": state.downsample_ratio,
        "dtype": DTYPE_NAMES[state.dtype],
        "frame_count": state.frame_count,
    }


def state_from_dict(values: Mapping[str, object]) -> StreamState:
    """The state from a dict made by `state_to_dict`. Raises StudioError for anything else."""
    missing = [key for key in (*_REC, "variant", "height", "width", "downsample_ratio", "dtype") if key not in values]
    if missing:
        raise StudioError(f"This is not the state of a matting stream: {', '.join(missing)} are missing. {_HINT}")
    rec = tuple(values[name] for name in _REC)
    if not all(isinstance(r, Tensor) and r.ndim == 4 and r.is_floating_point() for r in rec):
        raise StudioError(f"This is not the state of a matting stream: r1..r4 are not tensors [1, C, h, w]. {_HINT}")
    variant, dtype, scene = values["variant"], values["dtype"], values.get("scene")
    if variant not in ENCODERS or dtype not in DTYPES:
        raise StudioError(f"The state belongs to an unknown network or precision: {variant!r}, {dtype!r}. {_HINT}")
    if scene is not None and not isinstance(scene, Tensor):
        raise StudioError(f"The state's scene is a {type(scene).__name__}, expected a tensor. {_HINT}")
    try:
        height, width, count = (int(values.get(key, 0)) for key in ("height", "width", "frame_count"))  # pyright: ignore
        ratio = float(values["downsample_ratio"])  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError) as error:
        raise StudioError(f"The state's size or ratio is not a number ({error}). {_HINT}") from error
    return StreamState(rec, str(variant), height, width, ratio, DTYPES[str(dtype)], count, scene)  # pyright: ignore


def save_state(
    state: StreamState, path: Path, metadata: Mapping[str, str] | None = None, *, sync: bool = False
) -> Path:
    """Writes a .safetensors file; the file appears complete or not at all. metadata: further strings to store. sync:
    wait until it is on the disk.

    Raises StudioError if it cannot be written."""
    values = state_to_dict(state)
    tensors = {key: value.contiguous() for key, value in values.items() if isinstance(value, Tensor)}
    texts = {key: str(value) for key, value in values.items() if not isinstance(value, Tensor) and value is not None}
    texts = {**(metadata or {}), **texts, "format": FORMAT}
    write_tensors(path, tensors, {**texts, TEXT_DIGEST: _text_digest(texts)}, sync=sync)
    return path


def load_state(path: Path) -> tuple[StreamState, dict[str, str]]:
    """The state and all metadata of a file written by `save_state`. Nothing in a file is ever executed.

    Raises StudioError if the file is missing, damaged, or not a state."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise StudioError(f"The state {path} cannot be read ({error}). Save it again, or start without one.") from error
    if metadata.get(DIGEST, digest(tensors)) != digest(tensors) or not _texts_fit(metadata):
        raise StudioError(f"The state {path} is damaged: its checksum is wrong. Save it again, or start without one.")
    if metadata.get("format") != FORMAT:
        raise StudioError(f"{path} is not the state of a matting stream. {_HINT}")
    return state_from_dict({**metadata, **tensors}), metadata


def _texts_fit(metadata: Mapping[str, str]) -> bool:
    """Whether the texts are as they were saved; True for files without a hash of them."""
    return TEXT_DIGEST not in metadata or metadata[TEXT_DIGEST] == _text_digest(metadata)


def _text_digest(texts: Mapping[str, str]) -> str:
    counted = {key: text for key, text in texts.items() if key not in (DIGEST, TEXT_DIGEST)}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()
