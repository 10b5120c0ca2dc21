"""How long it takes from the cancel button to ComfyUI's "interrupted", at 1080p on the CPU: below a second."""

import pytest

from .graph import Graph
from .sample_inputs import SAMPLE, resized_clip

LIMIT = 1.0  # seconds
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


def seconds_to_cancel(client, prompt: dict, node_id: str, steps: int) -> float:
    """Cancels after the node's progress message number `steps`, or as soon as it begins, for 0."""
    prompt_id = client.queue(prompt)

    def is_moment(message) -> bool:
        data = message.data if isinstance(message.data, dict) else {}
        if data.get("node") != node_id or message.prompt_id != prompt_id:
            return False
        return message.kind == "executing" if steps == 0 else message.kind == "progress" and data["value"] >= steps

    client.wait_for(is_moment, 120, since=0)
    pressed = client.interrupt()
    run = client.wait(prompt_id, 60)
    assert run.status == "interrupted", run.end
    return run.end.time - pressed


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", GRAPHS)
def test_cancel(client, schemas, full_hd, name, moment, capsys):
    graph = Graph(schemas)
    node_id = GRAPHS[name](graph, full_hd)
    seconds = seconds_to_cancel(client, graph.prompt, node_id, MOMENTS[moment])
    with capsys.disabled():
        print(f"\n{name}, {moment}: interrupted {seconds:.2f} s after the button", end=" ")
    assert seconds < LIMIT


def test_the_next_run_is_whole(client, schemas, full_hd, kept):
    """Nothing of a cancelled run is left: neither the flag nor half a result."""
    graph = Graph(schemas)
    node_id = frames_graph(graph)
    graph.prompt["1"]["inputs"]["batch_size"] = 6
    seconds_to_cancel(client, graph.prompt, node_id, 2)
    graph.prompt[str(len(graph.prompt))]["inputs"]["name"] = "after_cancel"
    assert client.run(graph.prompt).status == "success"
    assert kept("after_cancel").shape == (6, 1080, 1920)
