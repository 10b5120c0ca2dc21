"""The session: same result whatever the calls, and a clear word where a caller goes wrong."""

# T frames, C channels, H, W

import logging

import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core import MattingNetwork, MattingSession
from rvm_studio.core.engines import EagerEngine, Engine, EngineOutput
from rvm_studio.core.errors import StudioError
from rvm_studio.core.stream.session import Stopped, opening_backwards
from rvm_studio.core.weights.network_weights import load_network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MattingNetwork().eval()


@pytest.fixture(scope="module")
def clip():
    """[9, 3, 60, 90] of smooth moving colours, float 0..1."""
    t, y, x = torch.meshgrid(torch.arange(9.0), torch.linspace(0, 3, 60), torch.linspace(0, 4, 90), indexing="ij")
    return torch.stack([(x + t / 4).sin(), (y * 2 - t / 5).cos(), (x * y + t / 3).sin()], 1) / 2 + 0.5


def session_of(network, **settings):
    return MattingSession(network, device="cpu", **settings)


@pytest.mark.parametrize("ratio", ["auto", 0.5])
@pytest.mark.parametrize("split", [1, 3, 7])
@pytest.mark.parametrize("chunk", ["auto", 1, 4])
def test_any_split_and_chunk_give_one_result(network, clip, ratio, split, chunk):
    whole = session_of(network, downsample_ratio=ratio, chunk=9).matte(clip)
    session = session_of(network, downsample_ratio=ratio, chunk=chunk)
    parts = [session.matte(part) for part in clip.split(split)]
    for i in range(2):
        assert (torch.cat([part[i] for part in parts]) - whole[i]).abs().max() < 1e-5
    assert session.state.frame_count == 9


def test_same_chunks_are_bit_identical_whatever_the_calls(network, clip):
    one, other = session_of(network, chunk=1), session_of(network, chunk=1)
    whole = one.matte(clip)
    parts = [other.matte(part) for part in (clip[:2], clip[2:7], clip[7:])]
    for i in range(2):
        assert torch.equal(torch.cat([part[i] for part in parts]), whole[i])


def test_pictures_and_integers_equal_float_frames(network, clip):
    pictures = [np.ascontiguousarray((f * 255).round().byte().permute(1, 2, 0).numpy()) for f in clip]
    as_float = torch.stack([torch.from_numpy(p).permute(2, 0, 1) / 255 for p in pictures])
    fgr, pha = session_of(network).matte(as_float)
    for frames in (pictures, np.stack(pictures), (as_float * 255).round().byte()):
        again = session_of(network).matte(frames)
        assert torch.equal(again[0], fgr)
        assert torch.equal(again[1], pha)
    deep = [p.astype(np.uint16) * 257 for p in pictures]
    assert (session_of(network).matte(deep)[1] - pha).abs().max() < 1e-5
    eight, _ = session_of(network).matte(pictures, out=torch.uint8)
    assert torch.equal(eight, (fgr * 255).round().byte())
    sixteen = session_of(network).matte(pictures, out=torch.uint16)[1]
    assert (sixteen.float() / 65535 - pha).abs().max() < 1e-5


def test_empty_and_alpha_only(network, clip):
    session = session_of(network)
    fgr, pha = session.matte(clip[:0])
    assert fgr.shape == (0, 3, 60, 90)
    assert pha.shape == (0, 1, 60, 90)
    assert session.state is None
    assert session.matte([])[1].shape == (0, 1, 0, 0)
    fgr, pha = session.matte(clip[:2], foreground=False)
    assert fgr.shape == (2, 3, 0, 0)
    assert pha.shape == (2, 1, 60, 90)


def test_state_moves_to_another_session_and_is_a_value(network, clip):
    first = session_of(network, chunk=1)
    first.matte(clip[:4])
    state = first.state
    copied = [r.clone() for r in state.rec]
    expected = first.matte(clip[4:])[1]
    second = session_of(network, chunk=1)
    second.state = state
    assert torch.equal(second.matte(clip[4:])[1], expected)
    assert all(torch.equal(a, b) for a, b in zip(state.rec, copied, strict=True))
    second.reset()
    assert second.state is None
    assert torch.equal(second.matte(clip[:4])[1], session_of(network, chunk=1).matte(clip[:4])[1])


def test_no_graph_is_kept(network, clip):
    session = session_of(network.train())
    _, pha = session.matte(clip[:1])
    assert not pha.requires_grad
    assert all(r.grad_fn is None for r in session.state.rec)
    network.eval()


def test_a_size_change_is_an_error_unless_asked_for(network, clip, caplog):
    session = session_of(network)
    session.matte(clip[:2])
    before = session.state
    message = r"The frames are 80x60 but the state belongs to 90x60 frames"
    with pytest.raises(StudioError, match=message):
        session.matte(clip[2:4, :, :, :80])
    assert session.state is before
    lenient = session_of(network, on_size_change="reset")
    lenient.matte(clip[:2])
    with caplog.at_level(logging.WARNING):
        fresh = lenient.matte(clip[2:4, :, :, :80])[1]
    assert "80x60" in caplog.text
    assert torch.equal(fresh, session_of(network).matte(clip[2:4, :, :, :80])[1])


def test_a_state_that_does_not_fit_is_refused(network, clip):
    session = session_of(network)
    session.matte(clip[:1])
    other = session_of(MattingNetwork("resnet50"))
    with pytest.raises(StudioError, match="state belongs to the mobilenetv3 network but this session runs resnet50"):
        other.state = session.state
    double = MattingSession(EagerEngine(network, CPU, torch.bfloat16))
    with pytest.raises(StudioError, match="The state is fp32 but this session computes in bf16"):
        double.state = session.state
    reduced = session_of(network, downsample_ratio=0.5)
    reduced.state = session.state
    with pytest.raises(StudioError, match=r"ratio is 0\.5 but the state was made with 1"):
        reduced.matte(clip[1:2])


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.rand(2, 4, 8, 8), "expected a tensor"),
        (torch.rand(3, 8, 8), "expected a tensor"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), "int64; expected float"),
        (torch.rand(1, 3, 0, 8), "empty: 8x0"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)], "differ in size"),
        (7, "cannot be used"),
        (torch.full((1, 3, 8, 8), 255.0), "The frames reach 255; float frames are 0..1"),
        (torch.full((1, 3, 8, 8), float("nan")), "The frames reach nan"),
    ],
)
def test_wrong_frames(network, frames, message):
    with pytest.raises(StudioError, match=message):
        session_of(network).matte(frames)


def test_wrong_settings(network):
    with pytest.raises(StudioError, match="chunk is 0"):
        session_of(network, chunk=0)
    with pytest.raises(StudioError, match="warm-up is -1"):
        session_of(network, warm_up=-1)
    with pytest.raises(StudioError, match=r"chunk is 2\.5"):
        session_of(network, chunk=2.5)
    with pytest.raises(StudioError, match="threshold is 0"):
        session_of(network, scene_cut=0.0)
    with pytest.raises(StudioError, match=r"output dtype is torch\.float16"):
        session_of(network).matte(torch.rand(1, 3, 8, 8), out=torch.float16)


class SmallMemory(Engine):
    """An engine with room for `room` frames at once."""

    def __init__(self, engine, room):
        self.engine, self.room, self.asked = engine, room, []
        self.name, self.variant, self.device, self.dtype = "small", engine.variant, engine.device, engine.dtype

    def _run(self, frames, rec, downsample_ratio, wanted) -> EngineOutput:
        self.asked.append(len(frames))
        if len(frames) > self.room:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self.engine._run(frames, rec, downsample_ratio, wanted)


def test_out_of_memory_halves_the_chunk_with_the_same_result(network, clip):
    engine = EagerEngine(network, CPU, torch.float32)
    small = SmallMemory(engine, 2)
    session = MattingSession(small, chunk=8)
    assert torch.equal(session.matte(clip)[1], MattingSession(engine, chunk=2).matte(clip)[1])
    assert small.asked == [8, 4, 2, 2, 2, 2, 1]


def test_not_even_one_frame_fits(network, clip):
    engine = EagerEngine(network, CPU, torch.float32)
    session = MattingSession(SmallMemory(engine, 3), chunk=2)
    session.matte(clip[:2])
    before = session.state
    session.engine.room = 0
    with pytest.raises(StudioError, match="Not even one 90x60 frame fits in the memory of cpu"):
        session.matte(clip[2:])
    assert session.state is before


def test_other_errors_pass_through(network, clip):
    class Broken(SmallMemory):
        def run(self, *args, **kwargs):
            raise RuntimeError("broken kernel")

    with pytest.raises(RuntimeError, match="broken kernel"):
        MattingSession(Broken(EagerEngine(network, CPU, torch.float32), 1)).matte(clip)


def test_a_scene_cut_resets_the_state(network, clip):
    other = (1 - clip.flip(3)) * clip.flip(2)
    cut = torch.cat([clip[:4], other[:5]])
    session = session_of(network, chunk=1, scene_cut=True)
    pha = torch.cat([session.matte(part)[1] for part in cut.split(3)])
    assert session.cuts == [4]
    assert torch.equal(pha[:4], session_of(network, chunk=1).matte(clip[:4])[1])
    assert torch.equal(pha[4:], session_of(network, chunk=1).matte(other[:5])[1])
    whole = session_of(network, chunk=1, scene_cut=True)
    assert torch.equal(whole.matte(cut)[1], pha)
    carried = session_of(network, chunk=1, scene_cut=True)
    carried.matte(cut[:4])
    onward = session_of(network, chunk=1, scene_cut=True)
    onward.state = carried.state
    assert torch.equal(onward.matte(cut[4:])[1], pha[4:])
    assert onward.cuts == [4]


def three_scenes(clip, *lengths):
    others = (1 - clip.flip(3)) * clip.flip(2), clip.flip(2)[:, [1, 2, 0]] ** 2
    return torch.cat([scene[:length] for scene, length in zip((clip, *others), lengths, strict=True)])


def test_the_warm_up_ahead_ends_at_the_next_cut(network, clip, one_thread):
    """More frames are given than the first scene has: those of the next one are no part of its opening."""
    frames = three_scenes(clip, 3, 3, 3)
    session = session_of(network, chunk=1, warm_up=4, scene_cut=True)
    session.warm_up_on(frames[:5])
    pha = torch.cat([session.matte(frame[None])[1] for frame in frames[:3]])
    assert torch.equal(pha, session_of(network, chunk=1, warm_up=4).matte(frames[:3])[1])
    across = session_of(network, chunk=1, warm_up=4)
    across.warm_up_on(frames[:5])
    assert not torch.equal(pha[:1], across.matte(frames[:1])[1]), "the next scene would show"


@pytest.mark.parametrize("lengths", [(3, 3, 3), (3, 1, 4)])
@pytest.mark.parametrize("call", [1, 2, 4])
def test_the_warm_up_of_a_new_scene_ends_at_the_next_cut(network, clip, call, lengths, one_thread):
    """Whatever the calls: the frames ahead reach into the scene after, or begin with it."""
    frames = three_scenes(clip, *lengths)
    session = session_of(network, chunk=1, warm_up=4, scene_cut=True)
    assert session.look_ahead == 4
    session.warm_up_on(frames[:5])
    results = []
    for begin in range(0, len(frames), call):
        end = begin + call
        results += [output.pha for output in session.stream(frames[begin:end], ahead=frames[end : end + 4])]
    assert session.cuts == [3, 3 + lengths[1]]
    for scene, pha in zip(frames.split(lengths), torch.cat(results).split(lengths), strict=True):
        assert torch.equal(pha, session_of(network, chunk=1, warm_up=4).matte(scene)[1])


@pytest.fixture
def card(red_engine):
    """An engine that says it is on a graphics card."""
    red_engine.device = torch.device("cuda")
    return red_engine


@pytest.mark.parametrize(
    ("height", "width", "frames"),
    [
        (1080, 1920, 12),
        (720, 1280, 12),
        (16, 16, 12),
        (1440, 2560, 6),
        (2160, 3840, 3),
        (4320, 7680, 1),
        (9000, 9000, 1),
    ],
)
def test_how_many_frames_go_through_a_card_at_once(card, network, height, width, frames):
    """As many pixels as 12 frames of 1080p have, at the most 12 frames, at the least one."""
    assert MattingSession(card).chunk_for(height, width) == frames
    assert MattingSession(card, chunk=5).chunk_for(height, width) == 5
    assert session_of(network).chunk_for(height, width) == 1
    assert session_of(network, chunk=5).chunk_for(height, width) == 5


def test_a_card_gets_its_frames_in_chunks(card):
    run, asked = card.run, []
    card.run = lambda frames, *args, **options: (asked.append(len(frames)), run(frames, *args, **options))[1]
    MattingSession(card).matte(torch.zeros(30, 3, 4, 4))
    assert asked == [12, 12, 6]


def test_the_state_within_a_stream_is_that_of_its_last_frame(network, clip):
    session, other = (session_of(network, chunk=3, scene_cut=True) for _ in range(2))
    next(session.stream(clip))
    other.matte(clip[:3])
    assert session.state.frame_count == 3
    assert torch.equal(session.state.scene, other.state.scene)
    assert all(torch.equal(a, b) for a, b in zip(session.state.rec, other.state.rec, strict=True))


def test_order_of_the_replayed_opening():
    assert opening_backwards(3, 10) == [3, 2, 1]
    assert opening_backwards(3, 4) == [3, 2, 1]
    assert opening_backwards(5, 3) == [1, 0, 1, 2, 1]
    assert opening_backwards(2, 1) == [0, 0]
    assert opening_backwards(0, 5) == []


def test_warm_up_is_the_opening_replayed_backwards(network, clip):
    by_hand = session_of(network, chunk=1)
    by_hand.matte(clip[1:5].flip(0))
    expected = by_hand.matte(clip)[1]
    session = session_of(network, chunk=1, warm_up=4)
    assert torch.equal(session.matte(clip)[1], expected)
    assert session.state.frame_count == 9


def test_warm_up_ahead(network, clip):
    whole = session_of(network, chunk=1, warm_up=4).matte(clip)[1]
    session = session_of(network, chunk=1, warm_up=4)
    session.warm_up_on(clip[:5])
    assert torch.equal(torch.cat([session.matte(frame[None])[1] for frame in clip]), whole)


class Counting(Engine):
    """An engine that counts its runs, and says "stop" once there were `limit` of them."""

    def __init__(self, engine, limit):
        self.engine, self.limit, self.runs = engine, limit, 0
        self.name, self.variant, self.device, self.dtype = "counting", engine.variant, engine.device, engine.dtype

    def run(self, *args, **options) -> EngineOutput:
        self.runs += 1
        return self.engine.run(*args, **options)

    def stopped(self) -> bool:
        return self.runs >= self.limit


def same_state(ours, theirs) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours.rec, theirs.rec, strict=True))


@pytest.mark.parametrize(("limit", "done"), [(0, None), (2, None), (3, None), (4, 2), (5, 4), (6, 4), (8, 4), (9, 6)])
def test_a_stop_ends_before_the_next_run_of_the_engine(network, clip, limit, done):
    """Three frames of warm-up, chunks of 2, and a cut at 4 with three more: 3 runs, frames 0-1, 2-3, 3 runs, ..."""
    frames = torch.cat([clip[:4], (1 - clip.flip(3)) * clip.flip(2)])[:9]
    engine = Counting(EagerEngine(network, CPU, torch.float32), limit)
    session = MattingSession(engine, chunk=2, warm_up=3, scene_cut=True, stopped=engine.stopped)
    results, states = [], []
    with pytest.raises(Stopped):
        results.extend((output.pha, states.append(session.state))[0] for output in session.stream(frames))
    assert engine.runs == limit
    assert sum(map(len, results)) == (done or 0)
    if done is None:
        assert session.state is None
        assert session.cuts == []
        return
    assert session.state is states[-1]
    assert session.state.frame_count == done
    assert session.cuts == ([4] if done > 4 else [])
    engine.limit = 1000
    rest = torch.cat([output.pha for output in session.stream(frames[done:])])
    whole = session_of(network, chunk=2, warm_up=3, scene_cut=True)
    assert torch.equal(torch.cat([*results, rest]), whole.matte(frames)[1])
    assert session.cuts == whole.cuts == [4]
    assert same_state(session.state, whole.state)


def test_a_stopped_call_and_a_stopped_warm_up_change_nothing(network, clip):
    engine = Counting(EagerEngine(network, CPU, torch.float32), 2)
    session = MattingSession(engine, chunk=1, warm_up=4, stopped=engine.stopped)
    with pytest.raises(Stopped):
        session.warm_up_on(clip[:5])
    assert engine.runs == 2
    assert session.state is None
    engine.limit = 7
    with pytest.raises(Stopped):
        session.matte(clip)
    assert engine.runs == 7
    assert session.state is None
    session.stopped = lambda: False
    assert torch.equal(session.matte(clip)[1], session_of(network, chunk=1, warm_up=4).matte(clip)[1])


def test_after_an_error_the_detector_is_where_the_state_is(network, clip):
    """The detector looks at a call's frames before the engine does."""

    class Breaking(Counting):
        def run(self, *args, **options):
            if self.stopped():
                raise RuntimeError("broken")
            return super().run(*args, **options)

    frames = torch.cat([clip[:4], (1 - clip.flip(3)) * clip.flip(2)])[:8]
    engine = Breaking(EagerEngine(network, CPU, torch.float32), 3)
    session = MattingSession(engine, chunk=1, scene_cut=True)
    for call in (frames, frames[3:]):  # broken after three frames, and at once
        with pytest.raises(RuntimeError, match="broken"):
            list(session.stream(call))
        assert session.state.frame_count == 3
    engine.limit = 100
    list(session.stream(frames[3:]))
    assert session.cuts == [4]


@pytest.fixture(scope="module")
def portrait_clip(reference, reference_weights):
    """(real network, frames [20, 3, 255, 384], true alpha [20, 1, 255, 384]): the portrait's head and shoulders
    drifting over moving stripes. The alpha is true by construction: the pictures were composited with it."""
    network = load_network(reference_weights)
    image = Image.open(reference / "sample_person.png").convert("RGB").crop((0, 0, 512, 340)).resize((384, 255))
    fgr, pha = MattingSession(network, device="cpu", warm_up=8).matte([np.array(image)])
    y, x = torch.meshgrid(torch.arange(255.0), torch.arange(384.0), indexing="ij")
    frames, alphas = [], []
    for t in range(20):
        bgr = torch.stack([((x + 3 * t) / 9).sin(), ((y - 2 * t) / 13).cos(), ((x + y) / 17).sin()])[None] / 4 + 0.5
        moved_fgr, moved_pha = torch.roll(fgr, t, 3), torch.roll(pha, t, 3)
        frames.append(moved_fgr * moved_pha + bgr * (1 - moved_pha))
        alphas.append(moved_pha)
    return network, torch.cat(frames), torch.cat(alphas)


@pytest.mark.slow
def test_warm_up_makes_frame_zero_as_good_as_the_rest(portrait_clip):
    network, frames, true_pha = portrait_clip

    def errors(warm_up):
        pha = MattingSession(network, device="cpu", warm_up=warm_up).matte(frames)[1]
        return (pha - true_pha).abs().mean((1, 2, 3))

    cold, warm = errors(0), errors(12)
    settled = cold[8:].mean()
    assert cold[0] > 1.2 * settled, "without a warm-up the first frame is worse"
    assert warm[0] < 0.92 * cold[0]
    assert warm[0] < 1.1 * settled
