"""The cancel button ends a run with the frame that is at work, at 1080p on the CPU."""

import pytest

from .graph import Graph
from .sample_inputs import SAMPLE, resized_clip

# Frames told after the button: the one at work when it was pressed, and the one before it, of which the message was
# still on its way.
FRAMES_AFTER = 2
CLIP = "rvm_1080p.mp4"
MOMENTS = {"warm-up": 0, "first frames": 2, "later": 8}  # progress messages to wait for


@pytest.fixture(scope="module")
def full_hd(server) -> str:
    place = server.base / "input" / CLIP
    if not place.exists():
        resized_clip(SAMPLE, place, 1920, 1080)
    return CLIP


def frames_graph(graph: Graph) -> str:
    picture = graph.add("EmptyImage", width=1920, height=1080, batch_size=24, color=0x336699)
    matte = graph.add("RVMMatte", model=graph.add("RVMLoadModel")["model"], images=picture["IMAGE"])
    graph.add("AAAKeep", name="cancelled", mask=matte["mask"])
    return matte.id


def matte_video_graph(graph: Graph, clip: str) -> str:
    video = graph.add("LoadVideo", file=clip)
    matte = graph.add(
        "RVMMatteVideo", model=graph.add("RVMLoadModel")["model"], video=video["VIDEO"], background="blur"
    )
    graph.add("SaveVideo", video=matte["video"], filename_prefix="video/cancelled")
    return matte.id


def save_alpha_graph(graph: Graph, clip: str, format: str) -> str:
    video = graph.add("LoadVideo", file=clip)
    return graph.add(
        "RVMSaveAlphaVideo", model=graph.add("RVMLoadModel")["model"], video=video["VIDEO"], format=format, resume=False
    ).id


GRAPHS = {
    "RVMMatte": lambda graph, clip: frames_graph(graph),
    "RVMMatteVideo": matte_video_graph,
    "RVMSaveAlphaVideo ProRes 4444": lambda graph, clip: save_alpha_graph(graph, clip, "ProRes 4444"),
    "RVMSaveAlphaVideo VP9": lambda graph, clip: save_alpha_graph(graph, clip, "VP9"),
}


def frames_after_cancel(client, prompt: dict, node_id: str, steps: int) -> int:
    """Cancels after the node's progress message number `steps`, or as soon as it begins, for 0; how many frames the
    node tells of from then on."""
    prompt_id = client.queue(prompt)

    def is_moment(message) -> bool:
        data = message.data if isinstance(message.data, dict) else {}
        if data.get("node") != node_id or message.prompt_id != prompt_id:
            return False
        return message.kind == "executing" if steps == 0 else message.kind == "progress" and data["value"] >= steps

    client.wait_for(is_moment)
    client.interrupt()
    pressed = len(client.messages)
    run = client.wait(prompt_id)
    assert run.status == "interrupted", run.end
    mine = [message for message in client.messages[pressed:] if message.prompt_id == prompt_id]
    return sum(message.kind == "progress" and message.data["node"] == node_id for message in mine)


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", GRAPHS)
def test_cancel(client, schemas, full_hd, name, moment):
    graph = Graph(schemas)
    node_id = GRAPHS[name](graph, full_hd)
    assert frames_after_cancel(client, graph.prompt, node_id, MOMENTS[moment]) <= FRAMES_AFTER


def test_the_next_run_is_whole(client, schemas, full_hd, kept):
    """Nothing of a cancelled run is left: neither the flag nor half a result."""
    graph = Graph(schemas)
    node_id = frames_graph(graph)
    graph.prompt["1"]["inputs"]["batch_size"] = 6
    frames_after_cancel(client, graph.prompt, node_id, 2)
    graph.prompt[str(len(graph.prompt))]["inputs"]["name"] = "after_cancel"
    assert client.run(graph.prompt).status == "success"
    assert kept("after_cancel").shape == (6, 1080, 1920)
