"""What is fuzzed: how hostile inputs are made, and what takes them. One exception is right, the product's own.

`explore` runs a target; test_fuzz.py and bench/fuzz.py call it.
"""

import importlib.util
import io
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import av
import hypothesis
import numpy as np
import safetensors.torch
import torch
from hypothesis import strategies as st
from PIL import Image, features
from rvm_studio.core.engines import choose
from rvm_studio.core.errors import StudioError
from rvm_studio.core.network import MattingNetwork
from rvm_studio.core.stream.session import StreamState
from rvm_studio.core.stream.state_file import load_state, save_state
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.weights.tensor_file import read_tensors
from rvm_studio.rvm_nodes.compositing import RVMComposite, RVMDecontaminate, RVMRefineMask
from rvm_studio.rvm_nodes.matte import RVMMatte, RVMSegment
from rvm_studio.rvm_nodes.model import RVMModel
from rvm_studio.rvm_nodes.save_video import RVMSaveRGBA

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "obs_plugin"))

import rvm_frame_protocol as protocol  # noqa: E402

FOLDER = tempfile.TemporaryDirectory(prefix="rvm-fuzz-")
PLACE = Path(FOLDER.name)
MOST_FRAMES = 30  # of one input that are read


class Target(NamedTuple):
    """strategy: makes inputs. run: takes one and returns "taken" or "refused"; raises anything else as a find."""

    strategy: st.SearchStrategy[Any]
    run: Callable[[Any], str]


def explore(target: Target, examples: int, seed: int) -> Counter[str]:
    """Runs a target with so many inputs; returns how many of them were taken and refused. Raises what it finds, with
    the smallest input that shows it."""
    counts: Counter[str] = Counter()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=False,
    )
    @hypothesis.given(target.strategy)
    def one(example: Any) -> None:
        counts[target.run(example)] += 1

    one()
    return counts


def refused(error: StudioError, name: str) -> str:
    """Checks that the error is one line that names its subject."""
    text = str(error)
    if len(text.splitlines()) != 1 or name not in text or "The node failed" in text:  # what no check has foreseen
        raise AssertionError(text) from error
    return "refused"


# ---- files: valid ones, cut, overwritten, repeated

EDITS = st.lists(
    st.tuples(
        st.sampled_from(["cut", "overwrite", "overwrite the beginning", "remove", "repeat"]),
        st.floats(0, 1, exclude_max=True),
        st.one_of(
            st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 4, b"\0" * 8, b"\x7f\xff\xff\xff", b"\x80"])
        ),
    ),
    min_size=1,
    max_size=6,
)


def edited(content: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    for what, where, new in edits:
        at = int(where * (min(len(content), 512) if what == "overwrite the beginning" else len(content)))
        if what == "cut":
            content = content[:at]
        elif what == "remove":
            content = content[:at] + content[at + len(new) :]
        elif what == "repeat":
            content = content[:at] + content[at // 2 :]
        else:
            content = content[:at] + new + content[at + len(new) :]
    return content


def files(valid: Callable[[], dict[str, bytes]], read: Callable[[Path], object]) -> Target:
    """valid: files by name. read: reads a file; StudioError refuses it."""

    def run(example: tuple[str, list]) -> str:
        name, edits = example
        path = PLACE / name
        path.write_bytes(edited(valid()[name], edits))
        try:
            read(path)
        except StudioError as error:
            return refused(error, name.split(".")[0])
        return "taken"

    return Target(st.deferred(lambda: st.tuples(st.sampled_from(sorted(valid())), EDITS)), run)


def read_clip(path: Path) -> None:
    with open_reader(path) as reader:
        for number, frame in enumerate(reader):
            assert frame.image.shape == (reader.info.height, reader.info.width, 3)
            if number == MOST_FRAMES:
                break


@cache
def videos() -> dict[str, bytes]:
    codecs = {"mp4": "libx264", "mov": "prores_ks", "mkv": "ffv1", "avi": "mpeg4", "ts": "mpeg2video", "webm": "libvpx"}
    made = {}
    for suffix, codec in codecs.items():
        content = io.BytesIO()
        with av.open(content, "w", format={"ts": "mpegts", "mkv": "matroska"}.get(suffix, suffix)) as container:
            stream: Any = container.add_stream(codec, rate=25)
            stream.width, stream.height = 48, 32
            stream.pix_fmt = {"prores_ks": "yuv422p10le"}.get(codec, "yuv420p")
            sound: Any = None
            if suffix in ("mkv", "ts"):
                sound = container.add_stream("flac" if suffix == "mkv" else "mp2", rate=48000)
                sound.layout = "stereo"
            for number in range(5):
                picture = np.full((32, 48, 3), 40 * number, np.uint8)
                picture[number : number + 8, 4:20] = 200
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
            if sound:
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 1152), np.int16), format="s16", layout="stereo")
                frame.sample_rate, frame.pts = 48000, 0
                container.mux(sound.encode(frame))
                container.mux(sound.encode(None))
        made[f"clip.{suffix}"] = content.getvalue()
    return made


@cache
def pictures() -> dict[str, bytes]:
    kinds = ["png", "jpeg", "webp", "gif", "tiff", "bmp", *(["avif"] if features.check("avif") else [])]
    generator = np.random.default_rng(1)
    made = {}
    for kind in kinds:
        for count in (1, 3) if kind in ("png", "webp", "gif") else (1,):
            shown = [Image.fromarray(generator.integers(0, 256, (24, 32, 3), np.uint8)) for _ in range(count)]
            content = io.BytesIO()
            more = {"save_all": True, "append_images": shown[1:], "duration": 40} if count > 1 else {}
            shown[0].save(content, kind, **more)
            made[f"picture{count}.{kind}"] = content.getvalue()
    return made


@cache
def weights() -> dict[str, bytes]:
    tensors = {"a.weight": torch.arange(24.0).reshape(2, 3, 4), "b": torch.zeros(3, dtype=torch.int64)}
    content = io.BytesIO()
    torch.save({"state_dict": tensors}, content)
    return {"w.safetensors": safetensors.torch.save(tensors, {"variant": "x"}), "w.pth": content.getvalue()}


@cache
def states() -> dict[str, bytes]:
    rec = tuple(torch.zeros(1, channels, 8 >> level, 8 >> level) for level, channels in enumerate((16, 20, 40, 64)))
    state = StreamState(rec, "mobilenetv3", 64, 80, 0.25, torch.float32, 7, None)  # pyright: ignore[reportArgumentType]
    return {"s.safetensors": save_state(state, PLACE / "whole.safetensors").read_bytes()}


# ---- the frame protocol: every field of the shared memory is what another process has written

WORDS = st.one_of(st.integers(0, 16), st.integers(0, 2**64 - 1), st.sampled_from([2**63, 2**64 - 1, 1080, 1920, 7680]))


def fields(structure: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={
            name: WORDS if kind.__name__ == "c_ulong" or not hasattr(kind, "_length_") else st.binary(max_size=200)
            for name, kind in structure._fields_
        },
    )


@cache
def arena() -> Any:
    return protocol.Arena.create(1)


def run_arena(example: tuple[dict, dict, dict]) -> str:
    shared = arena()
    slot = shared.slots[0]
    intact = bytes(shared.view[: protocol.PAGE])
    try:
        for structure, values in zip((shared.header, slot.control, slot.picture_headers[1]), example, strict=True):
            for name, value in values.items():
                setattr(structure, name, value)
        status = shared.read_status()
        assert isinstance(status, dict)
        settings = slot.read_settings()
        assert settings is None or isinstance(settings[1], dict)
        picture = slot.read_picture()
        if picture is not None:
            assert len(picture.pixels) == picture.linesize * picture.height <= protocol.PICTURE_CAPACITY
        protocol._checked_slot_count(shared.view.obj, protocol.arena_bytes(1))
    except protocol.ProtocolError:
        return "refused"
    finally:
        shared.view[: protocol.PAGE] = intact
        for structure in (slot.control, slot.picture_headers[1]):
            for name, kind in structure._fields_:
                setattr(structure, name, b"" if hasattr(kind, "_length_") else 0)
    return "taken"


HEADERS = st.tuples(
    fields(protocol.Header),
    fields(protocol.Control),
    st.one_of(
        fields(protocol.PictureHeader),
        st.builds(
            lambda others: {"sequence": 2, "number": 1, **others},
            fields(protocol.PictureHeader),
        ),
    ),
)


# ---- nodes: whatever another node pack may put out


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    side = st.integers(0, 5)
    usual = st.sampled_from([[2, 6, 8, 3], [1, 6, 8, 3], [2, 6, 8, 4], [2, 6, 8], [1, 6, 8], [6, 8], [2, 1, 6, 8]])
    shape = draw(st.one_of(usual, usual, st.lists(side, max_size=5)))
    dtype = draw(
        st.sampled_from(
            [torch.float32] * 6
            + [torch.float16, torch.bfloat16, torch.float64, torch.bool, torch.uint8, torch.int64]
            + [torch.complex64]
        )
    )
    value = draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, -1.0, 1e30, math.nan, math.inf]))
    if dtype in (torch.bool, torch.uint8, torch.int64):
        value = min(max(0.0 if value != value else value, 0), 100)
    made = torch.full(shape, value).to(dtype)
    return made.transpose(0, -1) if made.ndim and draw(st.booleans()) and made.shape[0] == made.shape[-1] else made


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**400), 10**400), st.floats(), st.text(max_size=12)
) | st.sampled_from([[], {}, (), b"x", object()])  # fmt: skip


def near(usual: Any) -> st.SearchStrategy[Any]:
    """Another value of the same kind, or anything."""
    number = st.floats(-100, 100) | st.sampled_from([math.nan, math.inf, 1e308, 0, -1])
    kind = number if isinstance(usual, float) else st.text(max_size=8) if isinstance(usual, str) else st.booleans()
    return st.one_of(kind, kind, ANYTHING)


SOUND = st.fixed_dictionaries(
    {},
    optional={
        "waveform": tensors() | st.just(torch.zeros(1, 2, 500)),
        "sample_rate": st.sampled_from([8000, 48000.0, 0, -1, 10**30, "x", None]),
    },
)
REFINE: dict[str, Any] = {
    "grow": 0.0,
    "feather": 0.0,
    "black_point": 0.0,
    "white_point": 1.0,
    "gamma": 1.0,
    "temporal": 0.0,
    "invert": False,
}
COMPOSITE: dict[str, Any] = {
    "mode": "color",
    "color": "#808080",
    "blur": 1.0,
    "linear_light": False,
    "invert_mask": False,
}
DECONTAMINATE: dict[str, Any] = {"strength": 1.0, "spill_color": "green", "spill_strength": 1.0}
SAVE: dict[str, Any] = {"fps": 25.0, "filename_prefix": "a", "format": "FFV1", "alpha": "straight"}


PICTURES, MASK = torch.rand(2, 6, 8, 4), torch.rand(2, 6, 8)


@st.composite
def call(draw: st.DrawFn, node: type, usual: dict[str, Any], **connected: Any) -> tuple[type, dict[str, Any]]:
    """A valid call in which up to three inputs are replaced. connected: what is usual at the sockets."""
    inputs = {**usual, **connected}
    for name in draw(st.lists(st.sampled_from(sorted(inputs)), max_size=3, unique=True)):
        other = near(usual[name]) if name in usual else SOUND if name == "audio" else tensors()
        inputs[name] = draw(st.one_of(other, other, other, ANYTHING))
    return node, inputs


NODE_CALLS = st.one_of(
    call(RVMRefineMask, REFINE, mask=MASK),
    call(RVMComposite, {**COMPOSITE, "mode": "image"}, foreground=PICTURES, mask=MASK, background=PICTURES),
    call(RVMComposite, {**COMPOSITE, "mode": "blur"}, foreground=PICTURES, mask=MASK, background=PICTURES),
    call(RVMComposite, COMPOSITE, foreground=PICTURES, mask=MASK),
    call(RVMDecontaminate, DECONTAMINATE, images=PICTURES, mask=MASK, foreground=None),
    call(RVMSaveRGBA, SAVE, images=PICTURES, audio=None),
)


class _Modules:
    """What FakeComfy.install needs of pytest's monkeypatch."""

    @staticmethod
    def setitem(modules: dict, name: str, module: object) -> None:
        modules[name] = module


@cache
def host() -> Any:
    """A stand-in for ComfyUI, see tests/rvm_nodes."""
    spec = importlib.util.spec_from_file_location("rvm_fuzz_comfy", ROOT / "tests" / "rvm_nodes" / "fake_comfy.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.FakeComfy(PLACE / "ComfyUI")
    made.install(_Modules)
    return made


def run_node(example: tuple[Any, dict[str, Any]]) -> str:
    host()
    node, inputs = example
    try:
        getattr(node(), node.FUNCTION)(**inputs)
    except StudioError as error:
        return refused(error, node.DISPLAY_NAME)
    return "taken"


MATTE: dict[str, Any] = {
    "downsample": "auto",
    "custom_ratio": 0.25,
    "warm_up": 0,
    "scene_cut": 0.0,
    "chunk": 0,
    "carry": "auto",
}
FRAMES = torch.rand(2, 34, 40, 3)


@cache
def model() -> RVMModel:
    """A small network with random weights, as RVM Load Model would give it."""
    host()
    torch.manual_seed(1)
    network, cpu = MattingNetwork().eval().requires_grad_(False), torch.device("cpu")
    return RVMModel(None, network, cpu, torch.float32, "random.safetensors", choose(cpu, "eager"))


@cache
def state() -> dict[str, Any]:
    """The state after two frames."""
    *_, after = RVMMatte().matte(model(), FRAMES, **MATTE)
    return after


@st.composite
def matte_call(draw: st.DrawFn, node: type) -> tuple[type, dict[str, Any]]:
    """As `call`; states are valid ones in which up to two values are replaced."""
    inputs = {**MATTE, "model": model(), "images": FRAMES, "state": None}
    for name in draw(st.lists(st.sampled_from(sorted(inputs)), max_size=2, unique=True)):
        if name == "state":
            edits = st.lists(st.tuples(st.sampled_from(sorted(state())), tensors() | ANYTHING), max_size=2)
            inputs[name] = draw(st.one_of(edits.map(lambda edit: {**state(), **dict(edit)}), ANYTHING))
        else:
            inputs[name] = draw(near(MATTE[name]) if name in MATTE else tensors() | ANYTHING)
    return node, inputs


MATTE_CALLS = st.one_of(matte_call(RVMMatte), matte_call(RVMSegment))

TARGETS = {
    "videos": files(videos, read_clip),
    "pictures": files(pictures, read_clip),
    "weights": files(weights, read_tensors),
    "states": files(states, load_state),
    "frame protocol": Target(HEADERS, run_arena),
    "node inputs": Target(NODE_CALLS, run_node),
    "matting nodes": Target(MATTE_CALLS, run_node),
}
