"""The nodes that stream clips: what they say about them, clips from memory, trimmed clips, and files that go on."""

import numpy as np
import pytest
import torch
from rvm_studio.core import MattingSession
from rvm_studio.core.video.reader import open_reader

from .decoded import alpha_of, gray_of, pictures_of
from .graph import Graph
from .sample_inputs import CLIP

pytestmark = pytest.mark.slow
RATE = 24


@pytest.fixture(scope="module")
def clip_images(server) -> np.ndarray:
    with open_reader(server.base / "input" / CLIP) as reader:
        return np.stack([frame.image for frame in reader])


def save(graph: Graph, video: list, name: str) -> None:
    graph.add("SaveVideo", video=video, filename_prefix=f"streamed/{name}")


def save_alpha(schemas, name: str, **options) -> tuple[Graph, str]:
    """The sample clip to a lossless file, and the saving node's id."""
    graph = Graph(schemas)
    model, clip = graph.add("RVMLoadModel"), graph.add("LoadVideo", file=CLIP)
    settings = {"format": "FFV1", "filename_prefix": f"streamed/{name}", **options}
    return graph, graph.add("RVMSaveAlphaVideo", model=model["model"], video=clip["VIDEO"], **settings).id


def test_a_clip_from_frames_in_memory(client, schemas, kept, output, engine):
    """Create Video holds frames; they reach the engine as they are, not through a lossy file."""
    graph = Graph(schemas)
    frames = graph.frames(10, first=20)
    clip = graph.add("CreateVideo", images=frames, fps=12.0)
    matte = graph.add("RVMMatteVideo", model=graph.add("RVMLoadModel")["model"], video=clip["VIDEO"], output="alpha")
    save(graph, matte["alpha"], "from_memory")
    graph.add("AAAKeep", name="from_memory", images=frames)
    count, fps = (graph.add("PreviewAny", source=matte[name]).id for name in ("frame_count", "fps"))
    run = client.run(graph.prompt)
    assert run.status == "success"
    assert [run.outputs[count]["text"], run.outputs[fps]["text"]] == [["10"], ["12.0"]]
    # 8 bits, as the clip's frames were
    images = np.round(kept("from_memory") * 255).astype(np.uint8)
    _, pha = MattingSession(engine, warm_up=12).matte(images, foreground=False)
    error = np.abs(gray_of(output("streamed/from_memory*")) - pha[:, 0].numpy())
    assert error.mean() < 1 / 255  # H.264
    assert np.quantile(error, 0.999) < 12 / 255


def test_a_trimmed_clip(client, schemas, output, engine, clip_images):
    """Newer versions put a cut into the VIDEO and leave the file alone: only what is meant comes out."""
    if "Video Slice" not in schemas:
        pytest.skip("this ComfyUI has no Trim Video")
    graph = Graph(schemas)
    clip = graph.add("LoadVideo", file=CLIP)
    part = graph.add("Video Slice", video=clip["VIDEO"], start_time=1.0, duration=0.5)
    matte = graph.add(
        "RVMSaveAlphaVideo",
        model=graph.add("RVMLoadModel")["model"],
        video=part["VIDEO"],
        format="FFV1",
        filename_prefix="streamed/trimmed",
    )
    assert matte
    assert client.run(graph.prompt).status == "success"
    alpha = alpha_of(output("streamed/trimmed*.mkv"))
    assert len(alpha) == RATE // 2
    _, pha = MattingSession(engine, warm_up=12).matte(clip_images[RATE : RATE + RATE // 2], foreground=False)
    np.testing.assert_allclose(alpha, pha[:, 0].numpy(), atol=0.51 / 255)


def test_over_another_clip(client, schemas, output, engine, clip_images):
    graph = Graph(schemas)
    model, clip = graph.add("RVMLoadModel"), graph.add("LoadVideo", file=CLIP)
    matte = graph.add(
        "RVMMatteVideo", model=model["model"], video=clip["VIDEO"], background_video=clip["VIDEO"], background="white"
    )
    save(graph, matte["video"], "over_itself")
    run = client.run(graph.prompt)
    assert run.status == "success"
    assert run.of_kind("preview")  # live, while it streams
    # Over its own frames a clip stays nearly itself: the straight foreground differs at soft edges only.
    error = np.abs(pictures_of(output("streamed/over_itself*")) - clip_images.astype(np.float32) / 255)
    assert error.mean() < 4 / 255


def test_a_cancelled_file_goes_on(client, schemas, server, output):
    graph, _ = save_alpha(schemas, "whole")
    assert client.run(graph.prompt).status == "success"
    graph, node_id = save_alpha(schemas, "cut_short")
    prompt_id = client.queue(graph.prompt)

    def is_far_enough(message) -> bool:
        mine = message.kind == "progress" and message.prompt_id == prompt_id and message.data["node"] == node_id
        return mine and message.data["value"] >= 40

    client.wait_for(is_far_enough)
    client.interrupt()
    assert client.wait(prompt_id).status == "interrupted"
    folder = server.base / "output" / "streamed"
    left = [path.name for path in folder.glob("cut_short*")]
    assert left
    assert all(".partial" in name for name in left), left
    run = client.run(graph.prompt)
    assert run.status == "success"
    done = [message.data["value"] for message in run.of_kind("progress") if message.data["node"] == node_id]
    assert min(done) >= 30  # what was there was not done again
    assert [path.suffix for path in folder.glob("cut_short*")] == [".mkv"]
    first, second = output("streamed/whole*.mkv"), output("streamed/cut_short*.mkv")
    np.testing.assert_array_equal(alpha_of(second), alpha_of(first))
    np.testing.assert_array_equal(pictures_of(second), pictures_of(first))


@pytest.mark.parametrize(("format", "pattern"), [("WebP", "*.webp"), ("APNG", "*.apng"), ("VP9", "*.webm")])
def test_other_formats(client, schemas, kept, output, format, pattern):
    graph = Graph(schemas)
    matte = graph.add("RVMMatte", model=graph.add("RVMLoadModel")["model"], images=graph.frames(4))
    graph.add("AAAKeep", name=f"{format}_mask", mask=matte["mask"])
    saved = graph.add("RVMSaveRGBA", images=matte["rgba"], fps=24.0, format=format, filename_prefix=f"formats/{format}")
    told = graph.add("PreviewAny", source=saved["path"])
    run = client.run(graph.prompt)
    assert run.status == "success"
    path = output(f"formats/{format}{pattern}")
    assert run.outputs[told.id]["text"] == [str(path)]
    alpha = alpha_of(path) if format != "WebP" else webp_alpha(path)
    np.testing.assert_allclose(alpha, kept(f"{format}_mask"), atol=0.51 / 255)


def webp_alpha(path) -> np.ndarray:
    from PIL import Image, ImageSequence

    with Image.open(path) as image:
        return np.stack([np.asarray(frame.convert("RGBA"))[..., 3] for frame in ImageSequence.Iterator(image)]) / 255


def test_edges_are_refined_in_the_file(client, schemas, output, engine, clip_images):
    from rvm_studio.core.clips.batches import refine_masks
    from rvm_studio.core.pictures.edges import EdgeOptions

    edges = {"grow": -1.0, "feather": 1.0, "black_point": 0.1, "white_point": 0.9}
    graph, _ = save_alpha(schemas, "edges", **edges)
    assert client.run(graph.prompt).status == "success"
    _, pha = MattingSession(engine, warm_up=12).matte(clip_images[:20], foreground=False)
    expected = refine_masks(torch.as_tensor(pha[:, 0]), EdgeOptions(*edges.values()))
    np.testing.assert_allclose(alpha_of(output("streamed/edges*.mkv"))[:20], expected.numpy(), atol=0.51 / 255)
