"""Weights files: finds or downloads them, reads them strictly, builds the network from them, saves and converts them.

The file format is safetensors with exactly the official state-dict names, in float32 or float16, and the metadata
format ("rvm-studio"), variant, refiner, source, source_sha256, licence, training_stage, tensors_sha256.
PyTorch's .pth is read with weights_only, so that a file cannot run code.
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
_COUNTER = ".num_batches_tracked"  # unused in inference; some exporters omit it
STARTER = "starter"
_REFINER = "refiner."
_SEGMENTATION = "project_seg."  # unused in matting; some trainings omit it


@dataclass
class Weights:
    """The content of a weights file.

    It is complete (only the whole segmentation head may be missing), with the names of the official release, float32
    (counters int64), on the CPU.
    """

    state_dict: dict[str, Tensor]
    variant: str
    refiner: str  # deep_guided_filter if the file has its parameters, else fast_guided_filter
    metadata: dict[str, str]
    path: Path

    @property
    def has_segmentation(self) -> bool:
        """False also if the head is all zeros, which converters write if there was none."""
        return any(name.startswith(_SEGMENTATION) and bool(x.any()) for name, x in self.state_dict.items())


def find(
    variant: str = "mobilenetv3",
    path: str | os.PathLike[str] | None = None,
    mirror: str | None = None,
    progress: bool = True,
) -> Path:
    """The weights file to use: `path`, else `RVM_WEIGHTS`, else the models folder, else a download into it.

    Args:
        variant: "mobilenetv3" or "resnet50".
        path: A file; a folder that contains one for the variant (directly or in `weights/`); or "starter": the small
            bundled weights (assets/starter_weights.md). `RVM_WEIGHTS` accepts the same.
        mirror: Base URL to download from instead of the official one; None: `RVM_MIRROR` if set.
        progress: Whether to show the download's progress on stderr.

    Returns:
        The path of the file. A given file is not checked.

    Raises:
        StudioError: No file is found.
        DownloadError: The download fails.

    Example:
        >>> from rvm_studio import core
        >>> core.find_weights(path="starter") == core.STARTER_PATH
        True
    """
    if variant not in ENCODERS:
        raise StudioError(f"unknown variant {variant!r}; expected one of {', '.join(ENCODERS)}")
    chosen, said_by = path or os.environ.get("RVM_WEIGHTS"), "The weights path" if path else "RVM_WEIGHTS"
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
        raise StudioError(f"{said_by} is {place}, which does not exist. Correct it, or omit it.")
    if place.is_file():
        return place
    for candidate in _candidates(place, variant):
        if _holds(candidate, variant):
            return candidate
    raise StudioError(
        f"{said_by} is the folder {place}, which contains no {variant} weights ({', '.join(SUFFIXES)}), neither "
        f"directly nor in weights/. Give a file, put the weights there, or omit the path to download them."
    )


def asks_for_starter(path: str | os.PathLike[str] | None = None) -> bool:
    """Whether `find` would use the starter weights, according to `path` or else RVM_WEIGHTS."""
    return str(path or os.environ.get("RVM_WEIGHTS")) == STARTER


def fetch(name: str, mirror: str | None = None, progress: bool = True, folder: Path | None = None) -> Path:
    """Downloads published weights, verifies them and converts them to `rvm_<name>.safetensors`.

    Returns quickly if the file exists and is intact. An official .pth in the folder is used instead of a download.

    Args:
        name: A name in `WEIGHTS_CATALOGUE`.
        mirror: Base URL to download from instead of the official one; None: `RVM_MIRROR` if set.
        progress: Whether to show the download's progress on stderr.
        folder: Where the file is kept; None: `models_dir()`.

    Returns:
        The path of the converted file.

    Raises:
        DownloadError: The download fails.
        StudioError: The name is unknown, or the folder cannot be written.

    Example:
        >>> from rvm_studio import core
        >>> path = core.fetch_weights("mobilenetv3")  # doctest: +SKIP
    """
    if name not in CATALOGUE:
        raise StudioError(f"There are no weights named {name!r}. Use {' or '.join(CATALOGUE)}.")
    entry = CATALOGUE[name]
    folder = folder or models_dir()
    path, original = folder / entry.installed_name, folder / entry.file_name
    if _installed(path, entry):
        return path
    with lock(original, progress):
        if _installed(path, entry):  # another process has downloaded it meanwhile
            return path
        if path.exists():
            logger.warning("%s is damaged; downloading it again", path)
        if not original.exists():
            download(entry, folder, mirror, progress)
        elif (found := sha256_of(original)) != entry.sha256:
            raise StudioError(
                f"{original} is not the official file: its SHA-256 is {found}, expected {entry.sha256}. "
                f"Delete it to download the official one, or replace it with {entry.url}"
            )
        convert(original, path)
        original.unlink()
    return path


def read(path: str | os.PathLike[str]) -> Weights:
    """Reads and checks a weights file.

    Variant and refiner are recognised by the tensors' names. Names and shapes are compared strictly with the network.

    Args:
        path: A .safetensors, .pth or .pt file; the latter two contain a state dict, bare or wrapped.

    Returns:
        The weights, with half and double precision converted to float32.

    Raises:
        StudioError: The file is missing, damaged, or does not fit the network.

    Example:
        >>> from rvm_studio import core
        >>> core.read_weights(core.STARTER_PATH).variant
        'mobilenetv3'
    """
    path = Path(path)
    tensors, metadata = read_tensors(path)
    if all(name.startswith("module.") for name in tensors):  # saved from DistributedDataParallel
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    variant = _recognise(tensors)
    if variant is None:
        raise StudioError(
            f"{path} contains no matting network: its names ({_some(tensors)}) match no variant "
            f"({', '.join(ENCODERS)}). Is it the right file? {ANOTHER_COPY}"
        )
    refiner = DEEP if any(name.startswith(_REFINER) for name in tensors) else FAST
    for key, found in (("variant", variant), ("refiner", refiner)):
        if metadata.get(key, found) != found:
            raise StudioError(
                f"{path} contradicts itself: its metadata says {key} {metadata[key]!r}, but its tensors are those of "
                f"{found!r}. {ANOTHER_COPY}"
            )
    return Weights(_strict(tensors, variant, refiner, path), variant, refiner, metadata, path)


def load_network(path: str | os.PathLike[str], variant: str | None = None, refiner: str = "auto") -> MattingNetwork:
    """Builds the network with the weights of a file.

    Args:
        path: A .safetensors, .pth or .pt file.
        variant: The expected variant; None: any.
        refiner: "deep_guided_filter", "fast_guided_filter", or "auto": the deep one if the file has its parameters,
            else the fast one, with a warning.

    Returns:
        The network in eval mode, float32, on the CPU.

    Raises:
        StudioError: The file cannot be read, has another variant, or lacks the requested refiner.

    Example:
        >>> from rvm_studio import core
        >>> network = core.load_network(core.STARTER_PATH)
        >>> network.variant, network.training
        ('mobilenetv3', False)
    """
    weights = read(path)
    if variant is not None and weights.variant != variant:
        raise StudioError(
            f"{path} contains {weights.variant} weights, but {variant} was requested. Request {weights.variant}, "
            f"or use a file with {variant} weights."
        )
    if refiner == "auto":
        refiner = weights.refiner
        if refiner == FAST:
            logger.warning("%s contains no refiner.* weights: the fast guided filter is used", path)
    elif refiner not in REFINERS:
        raise StudioError(f"unknown refiner {refiner!r}; expected auto, {' or '.join(REFINERS)}")
    elif refiner == DEEP and weights.refiner == FAST:
        raise StudioError(
            f"{path} contains no refiner.* weights, which the deep guided filter needs. Request {FAST} or auto, or use "
            f"a file that has them (the official ones do)."
        )
    with _Unfilled():
        network = MattingNetwork(weights.variant, refiner)
    state_dict = weights.state_dict
    if refiner == FAST:
        state_dict = {name: x for name, x in state_dict.items() if not name.startswith(_REFINER)}
    missing, _ = network.load_state_dict(state_dict, strict=False, assign=True)
    if missing:  # only the segmentation head, as `read` has checked
        network.project_seg.conv.reset_parameters()
    network.has_segmentation = weights.has_segmentation
    return network.eval()


def save(network: MattingNetwork, path: str | os.PathLike[str], metadata: Mapping[str, str]) -> Path:
    """Saves a network as safetensors with the official names, in float32. The file is written completely or not at all.

    Args:
        network: The network.
        path: A .safetensors file, replaced if it exists.
        metadata: Texts to store (source, licence, training_stage ...). format, variant, refiner and tensors_sha256 are
            added.

    Returns:
        The path.

    Raises:
        StudioError: The path is not a .safetensors file, or cannot be written.

    Example:
        >>> from rvm_studio import core
        >>> core.save_weights(core.MattingNetwork(), "mine.safetensors", {"source": "random"}).name
        'mine.safetensors'
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
    """Converts any supported weights file to our format, and reads the result back to check it.

    half: save float16, which halves the size; it is read as float32, with a relative error of at most 1/2048. Keeps the
    source's metadata and adds source, source_sha256 and, for published files, the licence. Raises StudioError like
    `read` and `save`.
    """
    src, dst = Path(src), Path(dst)
    weights = read(src)
    if dst.exists() and src.samefile(dst):
        raise StudioError(f"{dst} is the file to convert. Use another name for the result.")
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
    """A readable summary: variant, refiner, size, hash, origin, metadata. Raises StudioError if the file is damaged."""
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
        logger.warning("%s was not converted from the official %s; it is used anyway", path, entry.file_name)
    return True


def _candidates(folder: Path, variant: str) -> list[Path]:
    """Files that may contain the variant, likeliest first: by variant in the name, then by suffix, then by name."""
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
    """Leaves new parameters uninitialised, for networks whose weights are loaded at once. On the meta device, random
    initialisation would also load PyTorch's compiler, which takes a second."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@functools.cache
def _blueprint(variant: str) -> dict[str, Tensor]:
    """The tensors of the network with the deep guided filter, on the meta device: the source of names and shapes."""
    with torch.device("meta"), _Unfilled():
        return MattingNetwork(variant, DEEP).state_dict(keep_vars=True)


def _expected(variant: str, refiner: str) -> dict[str, Tensor]:
    tensors = _blueprint(variant)
    return {name: like for name, like in tensors.items() if refiner == DEEP or not name.startswith(_REFINER)}


def _recognise(names: Iterable[str]) -> str | None:
    """The variant to which most names belong; None if less than half of every variant's names are there."""
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
    """The tensors in the network's order and dtypes. Raises StudioError unless names, shapes and kinds match."""
    expected = _expected(variant, refiner)
    if not any(name.startswith(_SEGMENTATION) for name in tensors):
        expected = {name: like for name, like in expected.items() if not name.startswith(_SEGMENTATION)}
    problems = []
    if missing := [name for name in expected if name not in tensors and not name.endswith(_COUNTER)]:
        problems.append(f"{len(missing)} tensors missing ({_some(missing)})")
    if surplus := [name for name in tensors if name not in expected]:
        problems.append(f"{len(surplus)} unexpected ({_some(surplus)})")
    both = [name for name in expected if name in tensors]
    if wrong := [name for name in both if tensors[name].shape != expected[name].shape]:
        shapes = [f"{name} {list(tensors[name].shape)}, not {list(expected[name].shape)}" for name in wrong]
        problems.append(f"{len(wrong)} with a wrong shape ({_some(shapes)})")
    if other := [n for n in both if tensors[n].is_floating_point() != expected[n].is_floating_point()]:
        kinds = [f"{name} {str(tensors[name].dtype).removeprefix('torch.')}" for name in other]
        problems.append(f"{len(other)} with a wrong type ({_some(kinds)}; quantised files are not supported)")
    if problems:
        raise StudioError(f"{path} does not match the {variant} network: {'; '.join(problems)}. {ANOTHER_COPY}")
    strict = {
        name: tensors[name].to(like.dtype).contiguous() if name in tensors else torch.zeros((), dtype=like.dtype)
        for name, like in expected.items()
    }
    if broken := [name for name, tensor in strict.items() if not tensor.isfinite().all()]:
        raise StudioError(
            f"{path} has values that are not finite in {len(broken)} tensors ({_some(broken)}): its training diverged, "
            f"or half precision overflowed. {ANOTHER_COPY}"
        )
    return strict


def _some(names: Iterable[str], shown: int = 3) -> str:
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _write(tensors: Mapping[str, Tensor], variant: str, refiner: str, path: Path, metadata: Mapping[str, str]) -> None:
    ours = {"format": "rvm-studio", "variant": variant, "refiner": refiner}
    write_tensors(path, tensors, {**metadata, **ours})
