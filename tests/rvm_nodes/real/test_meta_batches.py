"""VideoHelperSuite cuts a clip into batches and runs the graph for each; RVM Matte carries its state from one to the
next. However it is cut, the mattes are those of one pass, bit for bit.
"""

import numpy as np
import pytest

from .graph import Graph

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("video_helper_suite")]
FRAMES, WARM_UP = 24, 5  # the warm-up must fit into the first batch


def batch_graph(schemas, name: str, batch: int | None, *, node: str = "RVMMatte", **options) -> Graph:
    """The sample's first frames through VideoHelperSuite and one node, `batch` at a time (None: without batches)."""
    graph = Graph(schemas)
    manager = (
        {} if batch is None else {"meta_batch": graph.add("VHS_BatchManager", frames_per_batch=batch)["meta_batch"]}
    )
    clip = graph.add("VHS_LoadVideo", video="rvm_sample.mp4", frame_load_cap=FRAMES, format="None", **manager)
    model = graph.add("RVMLoadModel")
    matte = graph.add(node, model=model["model"], images=clip["IMAGE"], warm_up=WARM_UP, **options)
    graph.add("AAAKeep", name=f"{name}_frames", images=clip["IMAGE"])
    graph.add("AAAKeep", name=f"{name}_mask", mask=matte["mask"])
    graph.add(
        "VHS_VideoCombine",
        images=graph.add("MaskToImage", mask=matte["mask"])["IMAGE"],
        frame_rate=24,
        format="video/h264-mp4",
        filename_prefix=f"batches/{name}",
        **manager,
    )
    return graph


def run_all(client, graph: Graph, count: int) -> None:
    runs = client.run_to_idle(graph.prompt)
    assert [run.status for run in runs] == ["success"] * count


@pytest.fixture(scope="module")
def one_pass(server):
    """The mask of all frames at once, made when first asked for, by (node, chunk)."""
    return {}


@pytest.fixture
def mask_of_one_pass(client, schemas, kept, one_pass):
    def mask(node: str = "RVMMatte", chunk: int = 0) -> np.ndarray:
        if (node, chunk) not in one_pass:
            name = f"one_pass_{node}_{chunk}"
            run_all(client, batch_graph(schemas, name, None, node=node, chunk=chunk), 1)
            one_pass[node, chunk] = kept(f"{name}_mask")
        return one_pass[node, chunk]

    return mask


@pytest.mark.parametrize(("batch", "runs"), [(8, 3), (10, 3), (23, 2)])
def test_batches_equal_one_pass(client, schemas, kept, mask_of_one_pass, core_alpha, batch, runs):
    name = f"by_{batch}"
    run_all(client, batch_graph(schemas, name, batch), runs)
    assert np.array_equal(kept(f"{name}_mask"), mask_of_one_pass())
    expected = core_alpha(kept(f"{name}_frames"), warm_up=WARM_UP)
    np.testing.assert_allclose(kept(f"{name}_mask"), expected, atol=1e-5)


def test_without_carrying_the_batches_differ(client, schemas, kept, mask_of_one_pass):
    """What the state is for: the test above could not pass without it."""
    run_all(client, batch_graph(schemas, "never", 8, carry="never"), 3)
    mask = kept("never_mask")
    assert np.array_equal(mask[:8], mask_of_one_pass()[:8])
    assert np.abs(mask[8:] - mask_of_one_pass()[8:]).max() > 0.01


def test_another_chunk_size(client, schemas, kept, mask_of_one_pass):
    """Bit for bit where the chunks fall alike. Frame by frame is the same up to rounding, which the state carries on:
    4e-5 of 1 after 24 frames."""
    run_all(client, batch_graph(schemas, "chunked", 8, chunk=4), 3)
    assert np.array_equal(kept("chunked_mask"), mask_of_one_pass(chunk=4))
    np.testing.assert_allclose(kept("chunked_mask"), mask_of_one_pass(), atol=1e-4)


def test_again_without_a_change(client, schemas, kept, mask_of_one_pass):
    for name in ("once", "again"):
        graph = batch_graph(schemas, name, 8)
        run_all(client, graph, 3)
    assert np.array_equal(kept("again_mask"), mask_of_one_pass())
    run_all(client, graph, 3)  # the very same graph
    assert np.array_equal(kept("again_mask")[FRAMES:], mask_of_one_pass())


def test_after_an_interrupt_in_the_second_batch(client, schemas, kept, mask_of_one_pass):
    graph = batch_graph(schemas, "interrupted", 8)
    matte = next(node_id for node_id, node in graph.prompt.items() if node["class_type"] == "RVMMatte")
    since = len(client.messages)
    first = client.queue(graph.prompt)

    def is_at_work_on_the_second(message) -> bool:
        data = message.data if isinstance(message.data, dict) else {}
        second = message.prompt_id not in (None, first)
        return message.kind == "progress" and data.get("node") == matte and second and data["value"] >= 1

    moment = client.wait_for(is_at_work_on_the_second, since)
    client.interrupt()
    assert client.wait(moment.prompt_id).status == "interrupted"
    after = batch_graph(schemas, "after_interrupt", 8)
    run_all(client, after, 3)
    assert np.array_equal(kept("after_interrupt_mask"), mask_of_one_pass())


def test_two_nodes_behind_one_manager(client, schemas, kept, mask_of_one_pass):
    """Each has its own state."""
    graph = batch_graph(schemas, "two", 8)
    first = next(node for node in graph.prompt.values() if node["class_type"] == "RVMMatte")["inputs"]
    other = graph.add("RVMMatte", **{**first, "downsample": "custom", "custom_ratio": 0.5})
    graph.add("AAAKeep", name="two_other_mask", mask=other["mask"])
    combine = next(node for node in graph.prompt.values() if node["class_type"] == "VHS_VideoCombine")
    both = graph.add("ImageBatch", image1=combine["inputs"]["images"],
                     image2=graph.add("MaskToImage", mask=other["mask"])["IMAGE"])  # fmt: skip
    combine["inputs"]["images"] = both["IMAGE"]  # both come before the batch's end
    run_all(client, graph, 3)
    assert np.array_equal(kept("two_mask"), mask_of_one_pass())
    assert kept("two_other_mask").shape == (FRAMES, 360, 640)


def test_a_node_that_runs_after_the_batch_was_handed_on(client, schemas, kept, mask_of_one_pass):
    """Video Combine queues the next batch, and counts on, while the graph still runs: a node that ComfyUI takes after
    it must not mistake the batch it is at work on for the next."""
    graph = batch_graph(schemas, "late", 8)
    first = next(node for node in graph.prompt.values() if node["class_type"] == "RVMMatte")["inputs"]
    late = graph.add("RVMMatte", **first)
    turned = graph.add(
        "InvertMask", mask=graph.add("InvertMask", mask=late["mask"])["MASK"]
    )  # ComfyUI prefers short ways
    graph.add("AAAKeep", name="late_other_mask", mask=turned["MASK"])
    run_all(client, graph, 3)
    assert np.array_equal(kept("late_mask"), mask_of_one_pass())
    np.testing.assert_allclose(kept("late_other_mask"), mask_of_one_pass(), atol=1e-6)  # 1 - (1 - mask)


def test_a_skipped_batch_is_an_error(client, schemas):
    graph = batch_graph(schemas, "skipped", 7)
    manager = next(node for node in graph.prompt.values() if node["class_type"] == "VHS_BatchManager")
    manager["inputs"]["requeue"] = 2
    run = client.run(graph.prompt)
    assert run.error["node_type"] == "RVMMatte"
    assert "RVM Matte: This is batch 3 of a meta batch" in run.error["exception_message"]
    assert "from the first batch" in run.error["exception_message"]
