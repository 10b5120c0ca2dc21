"""Live streams: mattes as a session's own, fresh starts where they belong, networks shared and loaded aside."""

# T frames, H, W

import threading

import numpy as np
import pytest
import torch
from patience import PATIENCE, wait_for
from rvm_studio.core import MattingNetwork, MattingSession
from rvm_studio.core.engines import EagerEngine, build, choose
from rvm_studio.core.errors import StudioError
from rvm_studio.core.pictures.decontaminate import decontaminate
from rvm_studio.core.pictures.edges import EdgeOptions, refine_edges
from rvm_studio.core.pictures.pixel_format import quantise
from rvm_studio.core.stream import live as live_matting
from rvm_studio.core.stream.live import LiveSettings, LiveStream, SharedEngines, make_correction, weights_are_here
from rvm_studio.core.weights import network_weights as weights

CPU = torch.device("cpu")
SECOND = 1_000_000_000
FRAME = SECOND // 30


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MattingNetwork().eval()


@pytest.fixture(scope="module")
def engine(network):
    return EagerEngine(network, CPU, torch.float32)


@pytest.fixture(scope="module")
def pictures():
    """Nine pictures [57, 90, 4] of smooth moving colours, uint8 RGBA, with an alpha that has nothing to say."""
    t, y, x = np.meshgrid(np.arange(9), np.linspace(0, 3, 57), np.linspace(0, 4, 90), indexing="ij")
    planes = [np.sin(x + t / 4), np.cos(y * 2 - t / 5), np.sin(x * y + t / 3), np.cos(t + x)]
    return np.round(127.5 * (np.stack(planes, -1) + 1)).astype(np.uint8)


def matte_all(stream, pictures, epoch=1, interval=FRAME):
    return [stream.matte(picture, t * interval, epoch) for t, picture in enumerate(pictures)]


def session_mattes(engine, pictures, out=torch.float32, **settings):
    """What a session makes of the pictures, one by one: [T, 1, H, W]."""
    session = MattingSession(engine, **settings)
    return torch.cat([session.matte(picture[None, ..., :3], out=out, foreground=False)[1] for picture in pictures])


def as_array(pha):
    return quantise(pha, torch.uint8)[:, 0].numpy()


# ---- the mattes


@pytest.mark.parametrize("downsample", ["auto", "full_body", "0.5"])
def test_the_matte_is_a_sessions_own(engine, pictures, downsample):
    stream = LiveStream(engine, LiveSettings(downsample=downsample, scene_cuts=False))
    mattes = matte_all(stream, pictures)
    expected = as_array(session_mattes(engine, pictures, downsample_ratio=downsample))
    assert np.array_equal(np.stack([matte.alpha for matte in mattes]), expected)
    assert all(matte.alpha.dtype == np.uint8 and matte.correction is None for matte in mattes)
    assert stream.session.state.frame_count == len(pictures)


def test_edges_are_refined_before_they_become_bytes(engine, pictures):
    edges = EdgeOptions(grow=-1.5, feather=2)
    mattes = matte_all(LiveStream(engine, LiveSettings(edges=edges, scene_cuts=False)), pictures[:3])
    expected = as_array(refine_edges(session_mattes(engine, pictures[:3]), edges))
    assert np.array_equal(np.stack([matte.alpha for matte in mattes]), expected)


def test_edges_can_be_changed_without_forgetting(engine, pictures):
    stream = LiveStream(engine, LiveSettings(scene_cuts=False))
    matte_all(stream, pictures[:4])
    stream.settings = LiveSettings(edges=EdgeOptions(feather=1), scene_cuts=False)
    last = stream.matte(pictures[4], 4 * FRAME, 1)
    expected = refine_edges(session_mattes(engine, pictures[:5]), EdgeOptions(feather=1))
    assert np.array_equal(last.alpha, as_array(expected)[4])


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (17, 1), (1, 31)])
def test_tiny_pictures(engine, height, width):
    stream = LiveStream(engine, LiveSettings(decontaminate=1.0))
    for t in range(2):
        matte = stream.matte(np.full((height, width, 4), 90, np.uint8), t * FRAME, 1)
        assert matte.alpha.shape == (height, width)
        assert matte.correction.shape == (max(1, round(height / 2)), max(1, round(width / 2)), 4)


def test_the_pictures_are_left_alone(engine, pictures):
    picture = pictures[0].copy()
    LiveStream(engine, LiveSettings(decontaminate=1.0)).matte(picture, 0, 1)
    assert np.array_equal(picture, pictures[0])


# ---- fresh starts


def frames_seen(stream):
    """By the engine whose state counts them."""
    return stream.session.state.rec[0].item()


def red(value, height=20, width=30):
    """A picture that no scene-cut detector takes for empty, with that much red."""
    picture = np.zeros((height, width, 4), np.uint8)
    picture[..., 0] = value
    picture[: height // 2, :, 1] = 200
    return picture


@pytest.mark.parametrize(
    ("times", "epochs", "expected"),
    [
        ([0, 1, 2], [1, 1, 1], 3),
        ([0, 30, 60], [1, 1, 1], 3),  # a second exactly is no gap
        ([0, 1, 33], [1, 1, 1], 1),
        ([0, 1, 2], [1, 1, 2], 1),  # another source
        ([0, 1, 2], [2, 2, 1], 1),
        ([50, 51, 3], [1, 1, 1], 1),  # another clock
        ([0, 60, 120, 180], [1] * 4, 3),  # a slow network: only the first of even gaps counts
        ([10**6, 10**6 + 31], [1, 1], 1),  # the time before the first picture is no gap to compare with
        ([0, 90, 91, 92, 182], [1] * 5, 1),
    ],
)
def test_when_a_stream_begins_anew(red_engine, times, epochs, expected):
    stream = LiveStream(red_engine, LiveSettings(scene_cuts=False))
    for t, epoch in zip(times, epochs, strict=True):
        stream.matte(red(10), t * SECOND // 30, epoch)
    assert frames_seen(stream) == expected


def test_another_size_is_another_stream(engine, pictures):
    stream = LiveStream(engine, LiveSettings(scene_cuts=False))
    matte_all(stream, pictures[:3])
    smaller = np.ascontiguousarray(pictures[:, :41, :53])
    mattes = [stream.matte(picture, (3 + t) * FRAME, 1) for t, picture in enumerate(smaller[3:6])]
    expected = as_array(session_mattes(engine, smaller[3:6]))
    assert np.array_equal(np.stack([matte.alpha for matte in mattes]), expected)


@pytest.mark.parametrize("scene_cuts", [True, False])
def test_a_cut_is_seen_where_it_is_looked_for(red_engine, scene_cuts):
    stream = LiveStream(red_engine, LiveSettings(scene_cuts=scene_cuts))
    noise = np.random.default_rng(1).integers(0, 256, (2, 26, 26, 4), np.uint8).repeat(4, 1).repeat(4, 2)
    matte_all(stream, noise[[0, 0, 0, 1, 1]])
    assert frames_seen(stream) == (2 if scene_cuts else 5)
    assert stream.session.cuts == ([3] if scene_cuts else [])


# ---- warm-up


def test_a_new_size_is_warmed_up_once_and_leaves_no_trace(engine, pictures, monkeypatch):
    sizes = []
    run = engine.run
    monkeypatch.setattr(
        engine, "run", lambda frames, *a, **k: sizes.append(tuple(frames.shape[2:])) or run(frames, *a, **k)
    )
    stream = LiveStream(engine, LiveSettings(scene_cuts=False))
    assert stream.prepare(57, 90)
    assert not stream.prepare(57, 90)
    assert set(sizes) == {(57, 90)}
    assert len(sizes) == live_matting.WARM_RUNS
    assert stream.session.state is None
    mattes = matte_all(stream, pictures[:2])
    assert stream.prepare(90, 57)
    mattes.append(stream.matte(pictures[2], 2 * FRAME, 1))
    monkeypatch.undo()
    expected = as_array(session_mattes(engine, pictures[:3]))
    assert np.array_equal(np.stack([matte.alpha for matte in mattes]), expected)


# ---- the correction


def color_mix(height, width, fgr, bgr):
    """A foreground colour on the left, a background's on the right, a soft edge between them: src [1, 3, H, W], pha,
    and the foreground alone."""
    pha = ((0.55 - torch.linspace(0, 1, width)) / 0.04).clamp(0, 1).expand(1, 1, height, width)
    fgr, bgr = (torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, height, width) for color in (fgr, bgr))
    return pha * fgr + (1 - pha) * bgr, pha, fgr


@pytest.mark.parametrize("size", [(90, 200), (91, 201), (540, 960), (1080, 1920), (301, 1925)])
def test_the_correction_makes_the_foreground(size):
    src, pha, fgr = color_mix(*size, (0.9, 0.5, 0.2), (0.1, 0.3, 0.8))
    correction = make_correction(src, pha, 1.0)
    height, width = correction.shape[:2]
    assert max(height, width) <= 480
    assert 2 * height <= size[0] + 1
    assert abs(width / height - size[1] / size[0]) < 0.05 * width / height
    assert (correction[..., 3] == 255).all()
    src, pha, fgr = (torch.nn.functional.interpolate(x, (height, width), mode="area") for x in (src, pha, fgr))
    added = (torch.from_numpy(correction[None, ..., :3]).permute(0, 3, 1, 2) - 128.0) / 127.5
    seen_before, seen = (((x - fgr) * pha).abs().max().item() for x in (src, src + added))
    assert seen_before > 0.14
    assert seen < 0.02


def test_the_correction_has_the_strength_asked_for():
    src, pha, _ = color_mix(60, 100, (0.9, 0.5, 0.2), (0.1, 0.3, 0.8))
    whole, half = (make_correction(src, pha, strength).astype(int) - 128 for strength in (1.0, 0.5))
    assert np.abs(whole[..., :3] - 2 * half[..., :3]).max() <= 1
    assert np.abs(whole[..., :3]).max() > 60


def test_nothing_is_corrected_inside_the_subject():
    src, pha = torch.rand(1, 3, 64, 96), torch.ones(1, 1, 64, 96)
    assert (make_correction(src, pha, 1.0)[..., :3] == 128).all()


def test_bytes_and_floats_are_corrected_alike():
    src, pha, _ = color_mix(60, 100, (0.9, 0.5, 0.2), (0.1, 0.3, 0.8))
    src, pha = quantise(src, torch.uint8), quantise(pha, torch.uint8)
    assert np.array_equal(make_correction(src, pha, 0.7), make_correction(src.float() / 255, pha.float() / 255, 0.7))


def test_a_streams_correction_is_made_from_the_matte_as_the_network_found_it(red_engine):
    picture = np.zeros((40, 64, 4), np.uint8)
    picture[..., 0] = np.linspace(0, 255, 64)
    picture[..., 1] = 130
    plain, grown = (
        LiveStream(red_engine, LiveSettings(decontaminate=1.0, edges=edges)).matte(picture, 0, 1)
        for edges in (EdgeOptions(), EdgeOptions(grow=5))
    )
    assert not np.array_equal(plain.alpha, grown.alpha)
    assert np.abs(plain.correction.astype(int) - grown.correction).max() <= 1  # one alpha comes as bytes, one as floats
    src = torch.from_numpy(picture[None, ..., :3]).permute(0, 3, 1, 2) / 255
    small = torch.nn.functional.interpolate(src, (20, 32), mode="area")
    expected = decontaminate(small, small[:, :1]) - small
    found = (torch.from_numpy(plain.correction[None, ..., :3]).permute(0, 3, 1, 2) - 128.0) / 127.5
    assert (found - expected).abs().max() < 0.6 / 127.5


# ---- trouble


class FullMemory:
    """An engine that has no memory for some of its runs."""

    def __init__(self, engine, failing):
        self._engine, self._failing, self.runs = engine, failing, 0

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def run(self, *arguments, **options):
        self.runs += 1
        if self.runs in self._failing:
            raise MemoryError
        return self._engine.run(*arguments, **options)


def test_after_an_out_of_memory_the_next_picture_goes_on(red_engine):
    stream = LiveStream(FullMemory(red_engine, {2}), LiveSettings(scene_cuts=False))
    stream.matte(red(5), 0, 1)
    with pytest.raises(StudioError, match="Not even one 30x20 frame fits"):
        stream.matte(red(6), FRAME, 1)
    assert (stream.matte(red(7), 2 * FRAME, 1).alpha == 7).all()
    assert frames_seen(stream) == 2


@pytest.mark.parametrize(
    "settings",
    [{"decontaminate": 1.5}, {"decontaminate": "1"}, {"decontaminate": float("nan")}, {"downsample": "huge"}],
)
def test_impossible_settings(settings):
    with pytest.raises(StudioError):
        LiveSettings(**settings)


def test_which_settings_begin_a_new_session():
    usual = LiveSettings()
    assert usual.same_session(LiveSettings(edges=EdgeOptions(grow=3), decontaminate=0.5))
    for other in (LiveSettings("resnet50"), LiveSettings(downsample="portrait"), LiveSettings(scene_cuts=False)):
        assert not usual.same_session(other)


# ---- shared engines


@pytest.fixture
def file(network, tmp_path, monkeypatch):
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    return weights.save(network, tmp_path / "rvm_mobilenetv3.safetensors", {})


@pytest.fixture(params=["auto", "eager"])
def engines(request):
    return SharedEngines("cpu", engine=request.param)


def test_streams_share_an_engine_that_is_loaded_aside(engines, file, network, pictures):
    assert engines.get(str(file)) is None
    engine = wait_for(lambda: engines.get(str(file)))
    assert engines.get(str(file)) is engine
    assert engines.loaded() == {str(file): engine}
    assert engines.progress() == ""
    assert (engine.device, engine.dtype) == (CPU, torch.float32)
    one, other = (LiveStream(engine, LiveSettings(scene_cuts=False)) for _ in range(2))
    for t in range(3):  # in turns, each with its own memory
        one.matte(pictures[t], t * FRAME, 1)
        last = other.matte(pictures[8 - t], t * FRAME, 1)
    expected = session_mattes(build(network, engines.choice), pictures[:5:-1], torch.uint8)
    assert np.array_equal(last.alpha, expected[-1, 0].numpy())


@pytest.mark.slow
def test_an_engine_is_chosen_as_on_the_command_line(file, network, pictures):
    engines = SharedEngines("cpu")
    engine = wait_for(lambda: engines.get(str(file)))
    assert engines.choice == choose(CPU)
    assert engine.name == build(network, choose(CPU)).name == f"{engines.choice.engine} {engines.choice.precision}"
    matte = LiveStream(engine, LiveSettings(edges=EdgeOptions(feather=2), decontaminate=1)).matte(pictures[0], 0, 1)
    assert (matte.alpha.shape, matte.correction.shape) == ((57, 90), (28, 45, 4))
    exact = SharedEngines("cpu", precision="fp32")
    engine = wait_for(lambda: exact.get(str(file)))
    assert engine.name == f"{choose(CPU).engine} fp32"
    stream = LiveStream(engine, LiveSettings(scene_cuts=False))
    assert stream.prepare(57, 90)
    alphas = np.stack([matte.alpha for matte in matte_all(stream, pictures)])
    truth = as_array(session_mattes(EagerEngine(network, CPU, torch.float32), pictures))
    assert np.abs(alphas.astype(int) - truth).max() <= 1
    with pytest.raises(StudioError, match="mixed needs the engine openvino"):
        SharedEngines("cpu", "mixed", "eager")


def test_an_engine_is_loaded_once(file):
    calls, go_on = [], threading.Event()

    def make_engine(*arguments):
        calls.append(arguments)
        go_on.wait(PATIENCE)
        return "the engine"

    engines = SharedEngines("cpu", make_engine=make_engine)
    for _ in range(5):
        assert engines.get(str(file)) is None
    wait_for(lambda: calls)
    assert engines.progress() == f"Loading {file}"
    assert engines.loaded() == {}
    go_on.set()
    assert wait_for(lambda: engines.get(str(file))) == "the engine"
    assert len(calls) == 1


def fails_to_load(engines, model):
    def problem():
        try:
            assert engines.get(model) is None
            return ""
        except StudioError as error:
            return str(error)

    return wait_for(problem)


def test_missing_weights_are_said_and_tried_again(engines, file, monkeypatch, tmp_path):
    assert live_matting.RETRY == 30
    monkeypatch.setattr(live_matting, "RETRY", PATIENCE)
    moved = file.rename(tmp_path / "elsewhere.safetensors")
    assert str(file) in fails_to_load(engines, str(file))
    assert engines.progress() == ""
    moved.rename(file)
    with pytest.raises(StudioError, match="does not exist"):
        engines.get(str(file))  # not at once
    monkeypatch.setattr(live_matting, "RETRY", 0.0)
    wait_for(lambda: engines.get(str(file)))


def test_an_unknown_model_is_taken_for_a_file(engines):
    assert "The weights path is no-such-model, which does not exist" in fails_to_load(engines, "no-such-model")


def test_the_wrong_networks_weights(engines, file, monkeypatch):
    monkeypatch.setenv("RVM_WEIGHTS", str(file))
    assert "contains mobilenetv3 weights, but resnet50 was requested" in fails_to_load(engines, "resnet50")


def test_whatever_happens_while_loading_is_said(file):
    def make_engine(*_):
        raise OSError("no room")

    text = fails_to_load(SharedEngines("cpu", make_engine=make_engine), str(file))
    assert text == f"The network {file} cannot be loaded: OSError: no room"


def test_weights_that_are_not_there_are_fetched_and_that_is_said(engines, file, monkeypatch, tmp_path):
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    asked, go_on = [], threading.Event()

    def find(model):
        asked.append(model)
        go_on.wait(PATIENCE)
        return file

    monkeypatch.setattr(weights, "find", find)
    assert not weights_are_here("mobilenetv3")
    assert engines.get("mobilenetv3") is None
    assert engines.progress() == "Downloading the weights of mobilenetv3, once: 0 of 15 MB"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "rvm_mobilenetv3.pth.partial").write_bytes(bytes(4_000_000))
    assert engines.progress() == "Downloading the weights of mobilenetv3, once: 4 of 15 MB"
    go_on.set()
    wait_for(lambda: engines.get("mobilenetv3"))
    assert asked == ["mobilenetv3"]


def test_where_weights_are_looked_for(file, monkeypatch, tmp_path):
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path))
    assert weights_are_here("mobilenetv3")
    assert not weights_are_here("resnet50")
    assert weights_are_here("anywhere/else.pth")
    monkeypatch.setenv("RVM_WEIGHTS", "given")
    assert weights_are_here("resnet50")


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(StudioError, match="Unknown device"):
        SharedEngines("toaster")
