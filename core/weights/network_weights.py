"""Weights files: find or fetch them, read them strictly, build the network from them, save and convert.

Our own format is safetensors with exactly the official state-dict names in float32, or half, and these metadata:
format ("rvm-studio"), variant, refiner, source, source_sha256, licence, training_stage, tensors_sha256.
PyTorch's .pth is read with weights_only, so a file can never run code.
"""

import functools
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import StudioError
from ..machine.given_path import given_path
from ..network import MattingNetwork
from ..network.guided_filter import REFINERS
from ..network.matting_network import ENCODERS
from .download import CATALOGUE, STARTER_PATH, STARTER_VARIANT, CatalogueEntry, download, lock, models_dir, sha256_of
from .tensor_file import ANOTHER_COPY, SUFFIXES, read_names, read_tensors, write_tensors

__all__ = [
    "CATALOGUE",
    "CatalogueEntry",
    "Weights",
    "check",
    "convert",
    "fetch",
    "find",
    "load_network",
    "models_dir",
    "read",
    "save",
]

logger = logging.getLogger(__name__)

DEEP, FAST = "deep_guided_filter", "fast_guided_filter"
_COUNTER = ".num_batches_tracked"  # plays no part in inference, and some exporters drop it
STARTER = "starter"
_REFINER = "refiner."
_SEGMENTATION = "project_seg."  # plays no part in matting, and some trainings leave it out


@dataclass
class Weights:
    """A weights file's content: complete (but for the segmentation head, which may be missing as a whole), named as
    the official release, float32 (counters int64), on the CPU."""

    state_dict: dict[str, Tensor]
    variant: str
    refiner: str  # the one the file holds parameters for; fast_guided_filter where it holds none
    metadata: dict[str, str]
    path: Path

    @property
    def has_segmentation(self) -> bool:
        """False also for a head of nothing but zeros, which converters put where there was none."""
        return any(name.startswith(_SEGMENTATION) and bool(x.any()) for name, x in self.state_dict.items())


def find(
    variant: str = "mobilenetv3",
    path: str | os.PathLike[str] | None = None,
    mirror: str | None = None,
    progress: bool = True,
) -> Path:
    """The weights file to use: `path`, else `RVM_WEIGHTS`, else the models folder, else a download into it.

    path and RVM_WEIGHTS: a file, or a folder that holds one for the variant (itself or in `weights/`), or "starter":
    the small bundled ones (assets/starter_weights.md). Raises StudioError where nothing is found, and its
    kind DownloadError where the download fails.
    """
    if variant not in ENCODERS:
        raise StudioError(f"unknown variant {variant!r}; expected one of {', '.join(ENCODERS)}")
    chosen, said_by = path or os.environ.get("RVM_WEIGHTS"), "the given weights path" if path else "RVM_WEIGHTS"
    if not chosen:
        return fetch(variant, mirror, progress)
    if asks_for_starter(path):
        if variant != STARTER_VARIANT:
            raise StudioError(
                f"There are starter weights for {STARTER_VARIANT} only.", use=(f"variant {STARTER_VARIANT}",)
            )
        return STARTER_PATH
    place = given_path(chosen).expanduser()
    if not place.exists():
        raise StudioError(f"{said_by} names {place}, which does not exist. Correct it, or leave it out.")
    if place.is_file():
        return place
    for candidate in _candidates(place, variant):
        if _holds(candidate, variant):
            return candidate
    raise StudioError(
        f"{said_by} names the folder {place}, which holds no {variant} weights ({', '.join(SUFFIXES)}), neither "
        f"itself nor in weights/. Name a file, put the weights there, or leave it out to have them fetched."
    )


def asks_for_starter(path: str | os.PathLike[str] | None = None) -> bool:
    """Whether `find` would take the starter weights: by `path`, else by RVM_WEIGHTS."""
    return str(path or os.environ.get("RVM_WEIGHTS")) == STARTER


def fetch(name: str, mirror: str | None = None, progress: bool = True, folder: Path | None = None) -> Path:
    """Download a catalogue entry, verify it, convert it to <folder>/rvm_<name>.safetensors, return that path.

    Quick where it is already there and intact; an official .pth put into the folder by hand is taken.
    mirror, progress: see `weights_download.download`. folder: `models_dir()` if None. Raises StudioError.
    """
    if name not in CATALOGUE:
        raise StudioError(f"There are no weights named {name!r}. Use {' or '.join(CATALOGUE)}.")
    entry = CATALOGUE[name]
    folder = folder or models_dir()
    path, original = folder / entry.installed_name, folder / entry.file_name
    if _installed(path, entry):
        return path
    with lock(original, progress):
        if _installed(path, entry):  # another process brought it meanwhile
            return path
        if path.exists():
            logger.warning("%s is damaged; it is fetched again", path)
        if not original.exists():
            download(entry, folder, mirror, progress)
        elif (found := sha256_of(original)) != entry.sha256:
            raise StudioError(
                f"{original} is not the official file: SHA-256 found {found}, expected {entry.sha256}. "
                f"Delete it to have the official one fetched, or replace it by {entry.url}"
            )
        convert(original, path)
        original.unlink()
    return path


def read(path: str | os.PathLike[str]) -> Weights:
    """Read and check a weights file: .safetensors, or .pth/.pt holding a state dict, bare or wrapped.

    Recognises variant and refiner by the names. Names and shapes are checked strictly against the network.
    Half and double precision become float32. Raises StudioError that names the file, what is wrong, what to do.
    """
    path = Path(path)
    tensors, metadata = read_tensors(path)
    if all(name.startswith("module.") for name in tensors):  # saved from DistributedDataParallel
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    variant = _recognise(tensors)
    if variant is None:
        raise StudioError(
            f"{path} holds no matting network: its names ({_some(tensors)}) fit no variant "
            f"({', '.join(ENCODERS)}). Is it the right file? {ANOTHER_COPY}"
        )
    refiner = DEEP if any(name.startswith(_REFINER) for name in tensors) else FAST
    for key, found in (("variant", variant), ("refiner", refiner)):
        if metadata.get(key, found) != found:
            raise StudioError(
                f"{path} contradicts itself: its metadata say {key} {metadata[key]!r}, its tensors are those of "
                f"{found!r}. {ANOTHER_COPY}"
            )
    return Weights(_strict(tensors, variant, refiner, path), variant, refiner, metadata, path)


def load_network(path: str | os.PathLike[str], variant: str | None = None, refiner: str = "auto") -> MattingNetwork:
    """Build the network a weights file holds: eval mode, float32, on the CPU.

    variant: the one expected, or None for whichever it is.
    refiner: "auto" is the deep guided filter where the file holds it, else the fast one (a warning says so).
    Raises StudioError as `read`, and where the file is of another variant or lacks the refiner asked for.
    """
    weights = read(path)
    if variant is not None and weights.variant != variant:
        raise StudioError(
            f"{path} holds {weights.variant} weights, but {variant} was asked for. Ask for {weights.variant}, "
            f"or name a file of {variant}."
        )
    if refiner == "auto":
        refiner = weights.refiner
        if refiner == FAST:
            logger.warning("%s holds no refiner.* weights: the fast guided filter is used", path)
    elif refiner not in REFINERS:
        raise StudioError(f"unknown refiner {refiner!r}; expected auto, {' or '.join(REFINERS)}")
    elif refiner == DEEP and weights.refiner == FAST:
        raise StudioError(
            f"{path} holds no refiner.* weights, so it cannot run the deep guided filter. Ask for {FAST} or auto, "
            f"or name a file that has them (the official ones do)."
        )
    with _Unfilled():
        network = MattingNetwork(weights.variant, refiner)
    state_dict = weights.state_dict
    if refiner == FAST:
        state_dict = {name: x for name, x in state_dict.items() if not name.startswith(_REFINER)}
    missing, _ = network.load_state_dict(state_dict, strict=False, assign=True)
    if missing:  # that head: read has checked that it is no more
        network.project_seg.conv.reset_parameters()
    network.has_segmentation = weights.has_segmentation
    return network.eval()


def save(network: MattingNetwork, path: str | os.PathLike[str], metadata: Mapping[str, str]) -> Path:
    """Write a network as safetensors under the official names, float32; appears complete or not at all.

    metadata: strings to keep (source, licence, training_stage ...); format, variant, refiner and tensors_sha256
    are added. Raises StudioError where the path is no .safetensors or cannot be written.
    """
    path = Path(path)
    expected = _expected(network.variant, network.refiner_name)
    tensors = network.state_dict()
    _write(
        {
            name: tensors[name].to("cpu", like.dtype).contiguous()
            for name, like in expected.items()
            if network.has_segmentation or not name.startswith(_SEGMENTATION)
        },
        network.variant,
        network.refiner_name,
        path,
        metadata,
    )
    return path


def convert(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    half: bool = False,
) -> Path:
    """Read any accepted weights file and save it in our format; the result is read back before this returns.

    half: as float16, half as large; it is read as float32 again, each value off by at most 1/2048 of itself.
    Keeps the source's metadata, adds source and source_sha256, and the licence where the file is a catalogued one.
    Raises StudioError as `read` and `save`.
    """
    src, dst = Path(src), Path(dst)
    weights = read(src)
    if dst.exists() and src.samefile(dst):
        raise StudioError(f"{dst} is the file to convert. Name another file for the result.")
    digest = sha256_of(src)
    kept = {"source": src.name, "source_sha256": digest, **weights.metadata}
    if entry := _catalogued(digest):
        kept |= {"source": entry.source, "source_url": entry.url, "licence": entry.licence}
        kept["training_stage"] = "final"
    tensors = weights.state_dict
    if half:
        tensors = {name: x.half() if x.is_floating_point() else x for name, x in tensors.items()}
    _write(tensors, weights.variant, weights.refiner, dst, kept | dict(metadata or {}))
    read(dst)
    return dst


def check(path: str | os.PathLike[str]) -> str:
    """A summary for people: variant, refiner, size, hash, origin, metadata. Raises StudioError where it is broken."""
    weights = read(path)
    digest = sha256_of(weights.path)
    expected = _expected(weights.variant, weights.refiner).values()
    parameters = sum(tensor.numel() for tensor in expected if isinstance(tensor, nn.Parameter))
    lines = [
        f"{weights.path}: intact",
        f"  variant     {weights.variant}",
        f"  refiner     {weights.refiner}" + (" (no refiner.* in the file)" if weights.refiner == FAST else ""),
        f"  parameters  {parameters:,}",
        f"  sha256      {digest}",
    ]
    if entry := _catalogued(weights.metadata.get("source_sha256", digest)):
        lines.append(f"  origin      {entry.source}: {entry.file_name}")
    for key, value in sorted(weights.metadata.items()):
        lines.append(f"  metadata    {key}: {value}")
    return "\n".join(lines)


def _catalogued(digest: str) -> CatalogueEntry | None:
    return next((entry for entry in CATALOGUE.values() if entry.sha256 == digest), None)


def _installed(path: Path, entry: CatalogueEntry) -> bool:
    if not path.exists():
        return False
    try:
        weights = read(path)
    except StudioError:
        return False
    if weights.metadata.get("source_sha256") != entry.sha256:
        logger.warning("%s was not made from the official %s; it is used as it is", path, entry.file_name)
    return True


def _candidates(folder: Path, variant: str) -> list[Path]:
    """Files that may hold the variant, likeliest first: named after it, then by kind, then by name."""
    files = [
        file
        for place in (folder, folder / "weights")
        if place.is_dir()
        for file in sorted(place.iterdir())
        if file.suffix in SUFFIXES and file.is_file()
    ]
    return sorted(files, key=lambda file: (variant not in file.name, SUFFIXES.index(file.suffix)))


def _holds(path: Path, variant: str) -> bool:
    try:
        return _recognise(read_names(path)) == variant
    except StudioError:
        return False


class _Unfilled(TorchFunctionMode):
    """New parameters get no values, for networks that are loaded at once. Those without memory could not hold random
    ones, and drawing them nevertheless would load PyTorch's compiler, which takes a second."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@functools.cache
def _blueprint(variant: str) -> dict[str, Tensor]:
    """The tensors of the network with the deep guided filter, without memory: the one source of names and shapes."""
    with torch.device("meta"), _Unfilled():
        return MattingNetwork(variant, DEEP).state_dict(keep_vars=True)


def _expected(variant: str, refiner: str) -> dict[str, Tensor]:
    tensors = _blueprint(variant)
    return {name: like for name, like in tensors.items() if refiner == DEEP or not name.startswith(_REFINER)}


def _recognise(names: Iterable[str]) -> str | None:
    """The variant most names belong to; None where less than half of any variant is there."""
    names = {name.removeprefix("module.") for name in names}
    shares = {}
    for variant in ENCODERS:
        expected = _expected(variant, FAST).keys()
        if expected <= names:
            return variant
        shares[variant] = len(names & expected) / len(expected)
    best = max(shares, key=shares.__getitem__)
    return best if shares[best] >= 0.5 else None


def _strict(tensors: Mapping[str, Tensor], variant: str, refiner: str, path: Path) -> dict[str, Tensor]:
    """The tensors in the network's order and dtypes; StudioError unless names, shapes and kinds are exactly its own."""
    expected = _expected(variant, refiner)
    if not any(name.startswith(_SEGMENTATION) for name in tensors):
        expected = {name: like for name, like in expected.items() if not name.startswith(_SEGMENTATION)}
    problems = []
    if missing := [name for name in expected if name not in tensors and not name.endswith(_COUNTER)]:
        problems.append(f"{len(missing)} tensors missing ({_some(missing)})")
    if surplus := [name for name in tensors if name not in expected]:
        problems.append(f"{len(surplus)} surplus ({_some(surplus)})")
    both = [name for name in expected if name in tensors]
    if wrong := [name for name in both if tensors[name].shape != expected[name].shape]:
        shapes = [f"{name} {list(tensors[name].shape)}, not {list(expected[name].shape)}" for name in wrong]
        problems.append(f"{len(wrong)} of a wrong shape ({_some(shapes)})")
    if other := [n for n in both if tensors[n].is_floating_point() != expected[n].is_floating_point()]:
        kinds = [f"{name} {str(tensors[name].dtype).removeprefix('torch.')}" for name in other]
        problems.append(f"{len(other)} of a wrong type ({_some(kinds)}; quantised files are not read)")
    if problems:
        raise StudioError(f"{path} does not fit the {variant} network: {'; '.join(problems)}. {ANOTHER_COPY}")
    strict = {
        name: tensors[name].to(like.dtype).contiguous() if name in tensors else torch.zeros((), dtype=like.dtype)
        for name, like in expected.items()
    }
    if broken := [name for name, tensor in strict.items() if not tensor.isfinite().all()]:
        raise StudioError(
            f"{path} has values that are not finite in {len(broken)} tensors ({_some(broken)}): its training broke "
            f"down, or half precision overflowed. {ANOTHER_COPY}"
        )
    return strict


def _some(names: Iterable[str], shown: int = 3) -> str:
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _write(tensors: Mapping[str, Tensor], variant: str, refiner: str, path: Path, metadata: Mapping[str, str]) -> None:
    ours = {"format": "rvm-studio", "variant": variant, "refiner": refiner}
    write_tensors(path, tensors, {**metadata, **ours})
