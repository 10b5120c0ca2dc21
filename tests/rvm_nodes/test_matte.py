"""RVM Matte and RVM Segment: one stream, whatever the batches; memory; manners."""

import pytest
import torch
from rvm_studio.core.engines import EagerEngine, SegmentationEngine
from rvm_studio.core.errors import StudioError
from rvm_studio.core.network import MattingNetwork
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.rvm_nodes import matte, meta_batch
from rvm_studio.rvm_nodes.matte import RVMMatte, RVMSegment

SETTINGS = {"downsample": "auto", "custom_ratio": 0.25, "warm_up": 0, "scene_cut": 0.0, "chunk": 0}


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    """Every test begins without carried states."""
    monkeypatch.setattr(matte, "CARRIED", meta_batch.CarriedStates())


def run(node, model, images, **changes):
    return node().matte(model, images, **{**SETTINGS, **changes})


def whole(network, images, **settings):
    """The truth: the core's session over all frames at once."""
    session = MattingSession(network, **settings)
    return session.matte(images.permute(0, 3, 1, 2))


def graph(requeue=None, chunk=0, manager="VHS_BatchManager"):
    """A graph as ComfyUI hands it to its nodes: manager -> loader -> RVM Matte."""
    inputs = {"frames_per_batch": 3} if requeue is None else {"frames_per_batch": 3, "requeue": requeue}
    return {
        "1": {"class_type": manager, "inputs": inputs},
        "2": {"class_type": "VHS_LoadVideo", "inputs": {"video": "clip.mp4", "meta_batch": ["1", 0]}},
        "3": {"class_type": "RVMMatte", "inputs": {"images": ["2", 0], "chunk": chunk}},
    }


def test_the_result_is_that_of_one_stream(model, network, frames):
    images = frames(5)
    foreground, mask, rgba, state = run(RVMMatte, model, images)
    fgr, pha = whole(network, images)
    assert torch.equal(foreground, fgr.permute(0, 2, 3, 1))
    assert torch.equal(mask, pha[:, 0])
    assert torch.equal(rgba, torch.cat([foreground, mask[..., None]], -1))
    assert state["frame_count"] == 5
    alone = torch.cat([run(RVMMatte, model, images[t : t + 1])[1] for t in range(5)])
    assert not torch.allclose(mask, alone, atol=1e-3), "this network forgets, so the test shows nothing"


def test_shapes_types_and_devices(model, frames):
    foreground, mask, rgba, _ = run(RVMMatte, model, frames(2, 37, 53))
    assert foreground.shape == (2, 37, 53, 3)
    assert mask.shape == (2, 37, 53)
    assert rgba.shape == (2, 37, 53, 4)
    assert {x.dtype for x in (foreground, mask, rgba)} == {torch.float32}
    assert {x.device.type for x in (foreground, mask, rgba)} == {"cpu"}


def test_three_outputs_take_the_memory_of_one(model, frames):
    foreground, mask, rgba, _ = run(RVMMatte, model, frames(2))
    assert foreground.untyped_storage().data_ptr() == rgba.untyped_storage().data_ptr()
    assert mask.untyped_storage().data_ptr() == rgba.untyped_storage().data_ptr()


def test_the_inputs_are_left_as_they_are(model, frames):
    images = frames(3)
    before = images.clone()
    _, _, _, state = run(RVMMatte, model, images)
    kept = {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in state.items()}
    run(RVMMatte, model, images, state=state)
    assert torch.equal(images, before)
    for key, value in kept.items():
        assert torch.equal(state[key], value) if isinstance(value, torch.Tensor) else state[key] == value


def test_a_fourth_channel_is_left_out(model, frames):
    images = frames(2)
    with_alpha = torch.cat([images, torch.rand(2, *images.shape[1:3], 1)], -1)
    assert torch.equal(run(RVMMatte, model, with_alpha)[2], run(RVMMatte, model, images)[2])


@pytest.mark.parametrize("split", [(1, 6), (3, 4), (6, 1), (2, 2, 3), (1, 1, 1, 1, 1, 1, 1)])
def test_states_by_hand_equal_one_pass_bit_for_bit(model, frames, split):
    images = frames(7)
    expected = run(RVMMatte, model, images)[2]
    state, parts = None, []
    for part in images.split(split):
        _, _, rgba, state = run(RVMMatte, model, part, state=state)
        parts.append(rgba)
    assert torch.equal(torch.cat(parts), expected)


def test_with_a_warm_up_too(model, network, frames):
    images = frames(9)
    expected = whole(network, images, warm_up=4)[1][:, 0]
    _, first, _, state = run(RVMMatte, model, images[:5], warm_up=4)
    _, second, _, _ = run(RVMMatte, model, images[5:], warm_up=4, state=state)
    assert torch.equal(torch.cat([first, second]), expected)


def test_the_state_is_plain(model, frames):
    state = run(RVMMatte, model, frames(2), scene_cut=0.4)[3]
    assert type(state) is dict
    assert {type(value) for value in state.values()} <= {torch.Tensor, int, float, str}
    assert all(value.device.type == "cpu" for value in state.values() if isinstance(value, torch.Tensor))
    assert (state["height"], state["width"], state["variant"], state["dtype"]) == (64, 80, "mobilenetv3", "fp32")


def test_a_state_of_another_size_is_refused_before_anything_runs(comfy, model, frames):
    state = run(RVMMatte, model, frames(1, 36, 64))[3]
    comfy.loaded.clear()
    comfy.previews.clear()
    with pytest.raises(StudioError, match="RVM Matte: The frames are 80x64 but the state belongs to 64x36 frames"):
        run(RVMMatte, model, frames(1), state=state)
    assert not comfy.loaded
    assert not comfy.previews


def test_a_state_of_another_ratio_is_refused(model, frames):
    state = run(RVMMatte, model, frames(1))[3]
    with pytest.raises(StudioError, match=r"downsample ratio is 0\.5 but the state was made with 1"):
        run(RVMMatte, model, frames(1), state=state, downsample="custom", custom_ratio=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variant": "resnet50"}, "belongs to the resnet50 network"),
        ({"dtype": "fp16"}, "The state is fp16 but this session computes in fp32"),
        ({"r1": 3}, "not tensors \\[1, C, h, w\\]"),
        ({"height": "tall"}, "is not a number"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(model, frames, changes, message):
    state = {**run(RVMMatte, model, frames(1))[3], **changes}
    with pytest.raises(StudioError, match=message):
        run(RVMMatte, model, frames(1), state=state)


def test_something_else_for_a_state_is_refused(model, frames):
    with pytest.raises(StudioError, match="not the state of a matting stream"):
        run(RVMMatte, model, frames(1), state={"samples": torch.zeros(1)})


def test_no_frames_give_no_frames(model):
    foreground, mask, _, state = run(RVMMatte, model, torch.zeros(0, 64, 80, 3))
    assert foreground.shape == (0, 64, 80, 3)
    assert mask.shape == (0, 64, 80)
    assert state is None


@pytest.mark.parametrize("shape", [(64, 80, 3), (2, 64, 80), (2, 64, 80, 1)])
def test_what_is_no_colour_image_is_refused(model, shape):
    with pytest.raises(StudioError, match=r"RVM Matte: The images have the shape .* Connect an IMAGE"):
        run(RVMMatte, model, torch.zeros(shape))


def test_a_model_of_another_node_pack_is_refused(frames):
    with pytest.raises(StudioError, match=r"RVM Matte: The model input is not an RVM model\. Connect"):
        run(RVMMatte, object(), frames(1))


def test_values_that_are_no_image_are_refused(model):
    with pytest.raises(StudioError, match=r"The frames reach 255; float frames are 0\.\.1"):
        run(RVMMatte, model, torch.full((1, 64, 80, 3), 255.0))


def test_the_model_is_loaded_by_comfyui_with_room_for_the_work(comfy, model, frames):
    run(RVMMatte, model, frames(2))
    ((patcher, memory),) = comfy.loaded
    assert patcher is model.patcher
    assert memory >= 64 * 80 * 4 * 4  # more than the frame and its matte


def test_progress_and_previews(comfy, model, frames):
    run(RVMMatte, model, frames(4))
    assert [value for value, total in comfy.progress if total == 4][-1] == 4
    kind, picture, side = comfy.previews[0]
    assert kind == "JPEG"
    assert picture.size == (80, 64)
    assert side >= 64


# ---- cancelling


def test_a_cancel_ends_before_the_next_frame(comfy, fake, model, network, frames, monkeypatch):
    runs = []
    forward = MattingNetwork.forward
    monkeypatch.setattr(MattingNetwork, "forward", lambda *a, **k: runs.append(1) or forward(*a, **k))
    comfy.cancel_after = 2
    with pytest.raises(fake.InterruptProcessingException):
        run(RVMMatte, model, frames(50))
    assert len(runs) <= 2
    assert not comfy.interrupted  # ComfyUI's flag was taken back by its own function


def test_a_cancel_ends_inside_the_warm_up(comfy, fake, model, frames, monkeypatch):
    runs = []
    forward = MattingNetwork.forward
    monkeypatch.setattr(MattingNetwork, "forward", lambda *a, **k: runs.append(1) or forward(*a, **k))
    comfy.cancel_after = 3
    with pytest.raises(fake.InterruptProcessingException):
        run(RVMMatte, model, frames(20), warm_up=12)
    assert len(runs) <= 3


# ---- out of memory


def test_out_of_memory_halves_the_chunk_and_gives_the_same(model, network, frames, monkeypatch):
    images = frames(8)
    expected = whole(network, images, chunk=2)
    sizes = []
    forward = MattingNetwork.forward

    def scarce(self, src, *arguments, **named):
        sizes.append(src.shape[1])
        if src.shape[1] > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(self, src, *arguments, **named)

    monkeypatch.setattr(MattingNetwork, "forward", scarce)
    _, mask, _, _ = run(RVMMatte, model, images, chunk=8)
    assert sizes == [8, 4, 2, 2, 2, 2]
    assert torch.equal(mask, expected[1][:, 0])


def test_another_fault_is_not_taken_for_out_of_memory(model, frames, monkeypatch):
    def broken(self, src, *arguments, **named):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(MattingNetwork, "forward", broken)
    with pytest.raises(StudioError, match="RuntimeError: shapes do not match"):
        run(RVMMatte, model, frames(4), chunk=4)


# ---- meta batches


def batches(model, images, numbers=(0, 1, 2), size=3, **changes):
    """Runs the batches as VideoHelperSuite queues them, each with a new node object."""
    results = []
    for k in numbers:
        prompt = graph(requeue=k or None, **{key: changes[key] for key in changes if key == "chunk"})
        part = images[k * size : (k + 1) * size]
        results.append(run(RVMMatte, model, part, prompt=prompt, unique_id="3", **changes)[2])
    return results


def test_three_meta_batches_equal_one_pass_bit_for_bit(model, frames):
    images = frames(8)
    assert torch.equal(torch.cat(batches(model, images)), run(RVMMatte, model, images)[2])


def test_meta_batches_after_an_interrupt(comfy, fake, model, frames):
    images = frames(9)
    batches(model, images, [0, 1])
    comfy.cancel_after = 1
    with pytest.raises(fake.InterruptProcessingException):
        batches(model, images, [2])
    assert torch.equal(torch.cat(batches(model, images)), run(RVMMatte, model, images)[2])


def test_a_meta_batch_that_is_run_again_is_the_same(model, frames):
    images = frames(9)
    first = batches(model, images, [0, 1])
    again = batches(model, images, [1, 1, 2])
    assert torch.equal(again[0], first[1])
    assert torch.equal(torch.cat([first[0], *again[1:]]), run(RVMMatte, model, images)[2])


@pytest.mark.parametrize(("size", "chunk"), [(3, 1), (3, 3), (4, 2)])
def test_meta_batches_with_another_chunk_size(model, frames, size, chunk):
    images = frames(2 * size + 1)
    expected = run(RVMMatte, model, images, chunk=chunk)[2]
    assert torch.equal(torch.cat(batches(model, images, size=size, chunk=chunk)), expected)


def test_chunks_that_a_batch_cuts_differ_by_rounding_only(model, frames):
    """Convolutions of another batch size may add up in another order."""
    images = frames(8)
    expected = run(RVMMatte, model, images)[2]
    assert torch.allclose(torch.cat(batches(model, images, chunk=2)), expected, atol=1e-4)


def test_a_skipped_meta_batch_is_an_error(model, frames):
    images = frames(9)
    batches(model, images, [0])
    with pytest.raises(StudioError, match="This is batch 3 of a meta batch, but the last one processed was batch 1"):
        batches(model, images, [2])


def test_a_meta_batch_without_its_beginning_is_an_error(model, frames):
    with pytest.raises(StudioError, match="batch 2 of a meta batch, but no earlier batch of this clip was processed"):
        batches(model, frames(9), [1])


def test_a_new_first_batch_starts_without_a_state(model, frames):
    images = frames(9)
    first = batches(model, images)
    assert torch.equal(torch.cat(batches(model, images)), torch.cat(first))


def test_carry_never_starts_every_batch_without_a_state(model, frames):
    images = frames(6)
    parts = batches(model, images, [0, 1], carry="never")
    assert torch.equal(parts[1], run(RVMMatte, model, images[3:])[2])
    assert not torch.equal(parts[1], run(RVMMatte, model, images)[2][3:])


def test_a_state_by_hand_wins_over_the_carried_one(model, frames):
    images = frames(6)
    state = run(RVMMatte, model, images[:1])[3]
    batches(model, images, [0])
    by_hand = run(RVMMatte, model, images[3:], state=state, prompt=graph(requeue=1), unique_id="3")[2]
    assert torch.equal(by_hand, run(RVMMatte, model, images[3:], state=state)[2])


def test_without_a_manager_nothing_is_carried(model, frames):
    images = frames(3)
    prompt = graph(manager="SomethingElse")
    first = run(RVMMatte, model, images, prompt=prompt, unique_id="3")[2]
    assert torch.equal(run(RVMMatte, model, images, prompt=prompt, unique_id="3")[2], first)


# ---- the other head


def test_segment_is_the_networks_second_head(model, network, frames):
    images = frames(4)
    mask, state = run(RVMSegment, model, images)
    seg, _ = network.segment(images.permute(0, 3, 1, 2)[None])
    assert torch.allclose(mask, seg[0, :, 0].sigmoid(), atol=1e-5)
    assert state["frame_count"] == 4


def test_segment_at_a_ratio_has_the_full_size(model, network, frames):
    images = frames(2, 96, 160)
    mask, _ = run(RVMSegment, model, images, downsample="custom", custom_ratio=0.5)
    seg, _ = network.segment(images.permute(0, 3, 1, 2)[None], None, 0.5)
    full = torch.nn.functional.interpolate(seg[0], (96, 160), mode="bilinear", align_corners=False)
    assert mask.shape == (2, 96, 160)
    assert torch.allclose(mask, full[:, 0].sigmoid(), atol=1e-5)


def test_matte_and_segment_share_their_states(model, frames):
    images = frames(5)
    _, state = run(RVMSegment, model, images[:3])
    assert torch.equal(run(RVMMatte, model, images[3:], state=state)[2], run(RVMMatte, model, images)[2][3:])


def test_segment_without_its_head_says_so(model, frames, network, monkeypatch):
    monkeypatch.setattr(network, "has_segmentation", False)
    with pytest.raises(StudioError, match="RVM Segment: These weights have no segmentation head"):
        run(RVMSegment, model, frames(1))
    with pytest.raises(StudioError, match="no segmentation head"):
        SegmentationEngine(network, torch.device("cpu"), torch.float32)
    assert run(RVMMatte, model, frames(1))[1].shape == (1, 64, 80)


def test_a_shared_engine_copies_nothing(network):
    engine = EagerEngine(network, torch.device("cpu"), torch.float32, shared=True)
    assert engine.network is network
