"""The record of a job beside its partial files, with which a later run of the same job resumes.

The record is one safetensors file: the network's state after a frame, the contents of every output, and a description
of everything that the result depends on. It is replaced every few seconds while the job runs (see checkpoints), and
when the job ends early in an orderly way (a stop, an error). All of it is under a hash: a damaged record counts as
none. Nothing in a record is ever executed.
"""

# T frames, C channels, H, W

import dataclasses
import errno
import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import StudioError
from ..machine.output_claim import OutputClaim
from ..machine.root import CORE
from ..stream.session import MattingSession, StreamState
from ..stream.state_file import TEXT_DIGEST, load_state, save_state
from ..video.partial_output import RECORD_SUFFIX, NotResumable, Written, partial_path
from ..video.picture_sequence import find_pictures
from ..video.reader import ClipInfo
from ..weights.tensor_file import digest

if TYPE_CHECKING:
    from .options import ClipOptions, Output

_FORM = "2"  # of the record
_BLOCK = 4096  # bytes; file systems give space in no smaller pieces


@dataclass(frozen=True)
class Stop:
    """A frame at which a job can be resumed. state: after it. cuts: frames that begin a scene. written: each output."""

    state: StreamState
    cuts: list[int]
    written: list[Written]

    @property
    def frames(self) -> int:
        return self.written[0].frames


class JobRecord:
    """The record of one job, beside the partial file of the first of `outputs` (those that can be resumed).

    describe: returns what the outputs depend on, see `describe`; called once, by `load` or `prepare`."""

    def __init__(self, outputs: Sequence[Path], describe: Callable[[], dict[str, str]]):
        self.outputs = list(outputs)
        self.claim: OutputClaim | None = None  # of the first output, while it is open
        self.path = _record_path(outputs[0])
        self._describe = describe
        self._names = [os.path.relpath(path.absolute(), self.path.parent.absolute()) for path in outputs]

    @functools.cached_property
    def _description(self) -> dict[str, str]:
        return self._describe()

    def prepare(self) -> None:
        """Call it before the first frame, which changes what is described."""
        _ = self._description

    def load(self) -> Stop:
        """Raises NotResumable if there is no record, or it is damaged or of another job."""
        if not self.path.exists():
            raise NotResumable("there is no record of how far it came")
        try:
            state, texts = load_state(self.path)
            was = json.loads(texts["job"])
            if texts["record"] != _FORM:
                raise NotResumable("changed since then: the program")
            _ = texts[TEXT_DIGEST]  # which load_state has checked
            if was.pop("outputs") != self._names:
                raise NotResumable("the earlier run wrote other outputs")
            now = self._description
            if changed := [name for name in {**now, **was} if now.get(name) != was.get(name)]:
                raise NotResumable(f"changed since then: {', '.join(changed)}")
            progress = json.loads(texts["progress"])
            written = [Written(**{**values, "names": tuple(values["names"])}) for values in progress["written"]]
            stop = Stop(state, progress["cuts"], written)
        except (StudioError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise NotResumable(f"{self.path} is damaged") from error
        for path, output in zip(self.outputs, written, strict=True):
            partial = partial_path(path)
            if output.find(partial.parent) is None:
                raise NotResumable(f"{partial} is missing")
        return stop

    def save(self, stop: Stop, *, in_place: bool = False) -> None:
        """Replaces the record, in one step; or in place, for a full disk that has no room for two. Raises StudioError
        if it cannot be written."""
        assert self.claim is not None
        if not self.claim.may_write(self.path):
            raise StudioError(f"{self.path} exists and is not ours: move it away.")
        try:
            self.claim.add(self.path)
        except OSError as error:
            raise StudioError(f"{self.path} cannot be written ({error}): free some space.") from error
        # copies: tensors that share memory cannot be saved
        r1, r2, r3, r4 = (r.detach().cpu().clone() for r in stop.state.rec)
        state = dataclasses.replace(stop.state, rec=(r1, r2, r3, r4))
        progress = {"cuts": stop.cuts, "written": [dataclasses.asdict(written) for written in stop.written]}
        texts = {
            "record": _FORM,
            "job": json.dumps({**self._description, "outputs": self._names}),
            "progress": json.dumps(progress),
        }
        if in_place:
            self._overwrite(state, texts)
        else:
            save_state(state, self.path, texts, sync=True)

    def _overwrite(self, state: StreamState, texts: dict[str, str]) -> None:
        try:
            with tempfile.TemporaryDirectory() as folder:
                content = save_state(state, Path(folder) / f"record{RECORD_SUFFIX}", texts).read_bytes()
            with self.path.open("rb+") as file:
                room = -(-file.seek(0, os.SEEK_END) // _BLOCK) * _BLOCK
                if len(content) > room:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                file.seek(0)
                file.write(content)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StudioError(f"{self.path} cannot be written ({error}): free some space.") from error

    def remove(self) -> None:
        """Removes it if it is ours. A record that stays does no harm: it will not fit the files."""
        if self.claim is not None:
            self.claim.remove(self.path)


def _record_path(output: Path) -> Path:
    partial = partial_path(output)
    return partial.with_name(partial.name + RECORD_SUFFIX)


def stopped_outputs(folder: Path) -> list[Path]:
    """The first outputs of the unfinished jobs that have a record in `folder`, by name; for programs that give every
    output a new name and look for one to resume (see matte_clip.can_resume)."""
    outputs = []
    for path in sorted(folder.glob(f"*.partial*{RECORD_SUFFIX}")):
        try:
            name = json.loads(load_state(path)[1]["job"])["outputs"][0]
        except (StudioError, LookupError, TypeError, ValueError):
            continue
        output = Path(os.path.normpath(folder / name))
        if _record_path(output) == path:
            outputs.append(output)
    return outputs


def describe(
    source: Path,
    outputs: Sequence["Output"],
    session: MattingSession,
    options: "ClipOptions",
    info: ClipInfo,
    shown: bool = False,
) -> dict[str, str]:
    """Everything that the outputs depend on, to the last bit, under readable names; call it before the first frame.

    shown: there is also a preview or contact sheet. If alpha is the only other output, the network then computes the
    foreground too, which may change the last bit of alpha."""
    engine, height, width = session.engine, info.height, info.width
    over = options.background if any(output.kind == "composite" for output in outputs) else ""
    background = _frames(over) if isinstance(over, Tensor) else [over, os.path.exists(over) and _file(Path(over))]
    described = {
        "the program": _program(),
        "the clip": _file(source),
        "the decoder": options.hwaccel,
        "its part": (float(options.start), options.duration and float(options.duration)),
        "the frame rate": (str(info.frame_rate), str(options.cfr), options.deinterlace),
        "the size": (width, height),
        "the network": (engine.name, engine.variant),
        "the weights": engine.network and _tensors(engine.network.state_dict()),
        "the device or precision": (engine.device.type, str(engine.dtype)),
        "the packages": [torch.__version__, *map(_version, ("openvino", "numba"))],
        "the threads": torch.get_num_threads(),
        "the preview beside alpha alone": shown and all(output.kind == "alpha" for output in outputs),
        "the downsample ratio": session.fitting_ratio(height, width),
        "the warm-up": session.warm_up,
        "the scene cuts' threshold": session.scene_cut,
        "the network's LUT": options.view_lut and _file(options.view_lut),
        "the chunk": session.chunk_for(height, width),
        "the state before": _state(session.state),
        "the kinds of output": [output.kind for output in outputs],
        "the background": background,
        "premultiplied": options.premultiplied,
        "the quality": options.quality,
        "the codec": options.codec,
        "the bitrate": options.bitrate,
        "the sound": options.keep_audio,
        "the edges": options.edges and dataclasses.asdict(options.edges),
        "decontaminate": float(options.decontaminate),
    }
    return {name: json.dumps(value) for name, value in described.items()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@functools.cache
def _program() -> str:
    """A hash of the core's sources: a version number would not reflect changes between two releases."""
    found = hashlib.sha256()
    for path in sorted(CORE.rglob("*.py")):
        found.update(path.relative_to(CORE).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def _file(path: Path) -> list:
    """Path, size and time of a file, or of all pictures of a sequence."""
    files = [picture.path for picture in find_pictures(path) or []] or [path]
    found = hashlib.sha256()
    for file in files:
        if file.exists():
            stat = file.stat()
            found.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return [str(path.absolute().resolve()), len(files), found.hexdigest()]


def _state(state: StreamState | None) -> str | None:
    if state is None:
        return None
    tensors = {f"r{i}": r for i, r in enumerate(state.rec, 1)}
    return _tensors(tensors if state.scene is None else {**tensors, "scene": state.scene})


def _frames(frames: Tensor) -> list[str]:
    """Of a clip in memory, frame by frame: no second copy of it."""
    found = hashlib.sha256()
    for frame in frames:
        found.update(_tensors({"frame": frame}).encode())
    return [str(list(frames.shape)), found.hexdigest()]


def _tensors(tensors: Mapping[str, Tensor]) -> str:
    return digest({name: tensor.detach().cpu() for name, tensor in tensors.items()})
