"""`rvm-studio demo`: the sample clip, the acceptance of the whole way, and what goes wrong."""

# H, W

import threading
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core.cli import demo as cli_demo
from rvm_studio.core.engines import choose
from rvm_studio.core.stream.downsample_ratio import choose_downsample_ratio
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.weights.network_weights import load_network

FRAMES = 96
COMPARED = 40  # of them, the first; the plain network is slow


def test_the_sample_is_small():
    assert cli_demo.SAMPLE.stat().st_size < 1_000_000
    with open_reader(cli_demo.SAMPLE) as reader:
        assert reader.info.frame_count == FRAMES
    with av.open(str(cli_demo.SAMPLE)) as container:
        assert not container.streams.audio


def plain_alpha(weights: Path) -> np.ndarray:
    """[T, H, W] float: the network alone, float32, one frame at a time, from an empty state."""
    network = load_network(weights)
    rec, alpha = None, []
    with open_reader(cli_demo.SAMPLE) as reader, torch.inference_mode():
        ratio = choose_downsample_ratio("auto", reader.info.height, reader.info.width)
        for frame in islice(reader, COMPARED):
            src = torch.from_numpy(frame.image).permute(2, 0, 1)[None].float() / 255
            _, pha, rec = network(src, rec, ratio)
            alpha.append(pha[0, 0].numpy())
    return np.stack(alpha)


def prores_alpha(path: Path) -> np.ndarray:
    """[T, H, W] float 0..1: the alpha plane as it stands in the file."""
    planes = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            bits = frame.format.components[3].bits
            plane = np.frombuffer(frame.planes[3], np.uint16).reshape(frame.height, -1)[:, : frame.width]
            planes.append(plane / (2**bits - 1))
    return np.stack(planes)


@pytest.mark.slow
def test_the_demo_with_the_real_network(studio, reference_weights, tmp_path, monkeypatch):
    monkeypatch.setenv("RVM_WEIGHTS", str(reference_weights))
    folder = tmp_path / "results"
    code, out, err = studio("demo", "-o", folder, "--device", "cpu", "--precision", "fp32")
    assert code == 0
    assert f"network: mobilenetv3, engine {choose(torch.device('cpu'), precision='fp32')}" in err
    assert out.startswith(f"Matted {FRAMES} frames in ")

    printed = [Path(line.split("  (")[0].strip()) for line in out.splitlines()[1:]]
    assert printed == [folder / "matte.mov", folder / "green.mp4", folder / "contact_sheet.png"]
    assert sorted(folder.iterdir()) == sorted(printed)

    ours, plain = prores_alpha(folder / "matte.mov"), plain_alpha(reference_weights)
    assert ours.shape == (FRAMES, 360, 640)
    ours = ours[:COMPARED]
    both, either = (ours > 0.5) & (plain > 0.5), (ours > 0.5) | (plain > 0.5)
    iou = both.sum() / either.sum()
    each = both.sum((1, 2)) / either.sum((1, 2))
    # shown on a failure, and with `pytest -rP`
    print(f"IoU with the plain network {iou:.4f}, worst frame {each.min():.4f} (number {each.argmin()})")
    assert 0.1 < (plain > 0.5).mean() < 0.6  # there is a person to find
    assert iou > 0.95
    assert each.min() > 0.95
    assert np.abs(ours - plain).mean() < 0.01

    with open_reader(folder / "green.mp4") as reader:
        green = [frame.image for frame in reader]
    assert len(green) == FRAMES
    for number in (0, COMPARED // 2, COMPARED - 1):
        behind = plain[number] < 0.01
        assert np.abs(green[number][behind].mean(0) - [0, 177, 64]).max() < 3
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.width > 1000
        assert sheet.height > 1000


def test_an_earlier_demo_is_replaced(red_studio, make_clip, tmp_path, monkeypatch):
    monkeypatch.setattr(cli_demo, "SAMPLE", Path(make_clip(tmp_path / "sample.mp4", frames=3)))
    for _ in range(2):
        code, out, _ = red_studio("demo", "-o", tmp_path / "results")
        assert code == 0
        assert out.startswith("Matted 3 frames in ")
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"matte.mov", "green.mp4", "contact_sheet.png"}


def test_its_own_folder_by_default(red_studio, make_clip, tmp_path, monkeypatch):
    monkeypatch.setattr(cli_demo, "SAMPLE", Path(make_clip(tmp_path / "sample.mp4", frames=1)))
    monkeypatch.chdir(tmp_path)
    assert red_studio("demo").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rvm-demo", "sample.mp4"]


def test_a_folder_that_cannot_be_made_is_one_line(red_studio, tmp_path):
    (tmp_path / "file").touch()
    code, out, err = red_studio("demo", "-o", tmp_path / "file" / "demo")
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert "demo is not a folder" in line or "cannot be written" in line


def test_missing_weights_are_one_line(studio, tmp_path, monkeypatch):
    monkeypatch.setenv("RVM_WEIGHTS", str(tmp_path / "gone.safetensors"))
    code, out, err = studio("demo", "-o", tmp_path / "results")
    assert (code, out) == (1, "")
    (line,) = err.splitlines()
    assert "gone.safetensors, which does not exist" in line
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_offline_it_goes_on_with_the_starter_weights(studio, tmp_path, monkeypatch):
    """Nothing answers at that address. The matte is rough, but it is one: of the drawn sample's person."""
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    folder = tmp_path / "results"
    code, out, err = studio("demo", "-o", folder, "--device", "cpu", "--mirror", "http://127.0.0.1:9")
    assert code == 0
    assert "rvm_mobilenetv3.pth could not be downloaded" in err
    assert "bundled starter weights, which were trained on drawings of people" in out.splitlines()[-1]
    alpha = prores_alpha(folder / "matte.mov")
    assert alpha.shape == (FRAMES, 360, 640)
    assert alpha.std() > 0.1


def test_offline_there_is_nothing_to_go_on_with_for_the_large_network(studio, tmp_path, monkeypatch):
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    code, out, err = studio("demo", "--variant", "resnet50", "-o", tmp_path, "--mirror", "http://127.0.0.1:9")
    assert (code, out) == (1, "")
    assert "rvm_resnet50.pth could not be downloaded" in err


def test_stopping_says_what_is_left(red_studio, make_clip, tmp_path, monkeypatch):
    monkeypatch.setattr(cli_demo, "SAMPLE", Path(make_clip(tmp_path / "sample.mp4", frames=20)))

    @contextmanager
    def stops_at_once():
        stop = threading.Event()
        stop.set()
        yield stop, [2]

    monkeypatch.setattr(cli_demo, "stop_on_signal", stops_at_once)
    code, out, _ = red_studio("demo", "-o", tmp_path / "results")
    assert code == 130
    assert "sample.mp4: stopped after 0 frames" in out
    assert not any((tmp_path / "results").iterdir())
