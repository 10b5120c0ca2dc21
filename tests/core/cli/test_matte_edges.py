"""`rvm-studio matte` with a part of a clip, without sound, and with changed edges and colours: the pixels and times."""

import av
import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core.engines import EngineOutput
from rvm_studio.core.video.reader import open_reader


@pytest.fixture
def clip(make_clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_clip("clip.mp4", size=(64, 48), frames=10, audio="aac")


def frames_of(path) -> list[np.ndarray]:
    with open_reader(path) as reader:
        return [frame.image for frame in reader]


@pytest.mark.parametrize("span", [("0.08", "0.2"), ("2f", "5f"), ("00:00:00.08", "0:00.2")])
def test_a_part_of_the_clip(red_studio, clip, span):
    ran = red_studio("matte", clip, "--alpha", "a.mkv", "--start", span[0], "--end", span[1], "--warm-up", "0")
    assert ran.code == 0, ran.err
    part, whole = frames_of("a.mkv"), frames_of(clip)
    assert len(part) == 3
    for number, frame in enumerate(part):
        assert np.array_equal(frame[..., 0], whole[2 + number][..., 0])


def test_to_the_end_and_from_the_beginning(red_studio, clip):
    assert red_studio("matte", clip, "-o", "a.mov", "--start", "7f").code == 0
    assert red_studio("matte", clip, "-o", "b.mov", "--end", "7f").code == 0
    assert (len(frames_of("a.mov")), len(frames_of("b.mov"))) == (3, 7)


def test_an_end_before_the_start_is_one_line(red_studio, clip):
    ran = red_studio("matte", clip, "-o", "a.mov", "--start", "3", "--end", "2")
    assert (ran.code, ran.err) == (1, "rvm-studio: The end 2 s is not after the start 3 s.\n")


def test_frames_of_a_sequence_follow_fps(red_studio, clip, tmp_path):
    (tmp_path / "shots").mkdir()
    for number in range(6):
        Image.new("RGB", (16, 16), (40 * number, 0, 0)).save(f"shots/{number}.png")
    ran = red_studio("matte", "shots", "--alpha", "a.mkv", "--fps", "10", "--start", "2f", "--end", "0.4")
    assert ran.code == 0, ran.err
    assert [int(frame[0, 0, 0]) for frame in frames_of("a.mkv")] == [80, 120]


def test_without_sound(red_studio, clip):
    for name, option in (("with.mov", []), ("without.mov", ["--no-audio"])):
        assert red_studio("matte", clip, "-o", name, *option).code == 0
    with av.open("with.mov") as heard, av.open("without.mov") as silent:
        assert (len(heard.streams.audio), len(silent.streams.audio)) == (1, 0)


def test_levels_gamma_and_the_edges_place(red_studio, clip):
    Image.fromarray(np.tile(np.arange(0, 256, 4, np.uint8)[None, :, None], (8, 1, 3))).save("ramp.png")
    ramp = np.arange(0, 256, 4) / 255

    def alpha(*options: str) -> np.ndarray:
        assert red_studio("matte", "ramp.png", "--alpha", "a.png", "--overwrite", *options).code == 0
        return np.array(Image.open("a.png"))[4] / 255

    assert np.allclose(alpha(), ramp, atol=0.003)
    expected = np.clip((ramp - 0.2) / 0.5, 0, 1)
    assert np.allclose(alpha("--black-point", "0.2", "--white-point", "0.7"), expected, atol=0.004)
    assert np.allclose(alpha("--gamma", "2"), ramp**0.5, atol=0.004)
    grown, shrunk = alpha("--shift", "3"), alpha("--shift=-3")
    assert np.allclose(grown[3:-6], ramp[6:-3], atol=0.01)
    assert np.allclose(shrunk[6:-3], ramp[3:-6], atol=0.01)
    step = np.zeros((8, 64, 3), np.uint8)
    step[:, 32:] = 255
    Image.fromarray(step).save("ramp.png")
    soft = alpha("--feather", "4")
    assert 0.1 < soft[28] < 0.25  # a Gaussian's share at one deviation: 0.16
    assert 0.75 < soft[35] < 0.9


def test_black_above_white_is_one_line(red_studio, clip):
    ran = red_studio("matte", clip, "-o", "a.mov", "--black-point", "0.8", "--white-point", "0.5")
    assert ran.code == 1
    (line,) = ran.err.splitlines()
    assert "the white point must be at least 0.001 above the black point" in line


def test_the_sources_own_colours(red_studio, clip, monkeypatch, red_engine):
    """The engine's foreground is green everywhere; with 0 the source's colours are taken where it is opaque."""
    run = red_engine._run

    def green(*arguments):
        result = run(*arguments)
        if result.fgr is None:
            return result
        fgr = torch.zeros_like(result.fgr)
        fgr[:, 1] = 200 / 255 if fgr.is_floating_point() else 200
        return EngineOutput(fgr, *result[1:])

    monkeypatch.setattr(red_engine, "_run", green)
    Image.new("RGB", (16, 16), (255, 30, 60)).save("red.png")
    for strength, color in (("1", [0, 200, 0]), ("0", [255, 30, 60])):
        assert red_studio("matte", "red.png", "-o", "f.png", "--decontaminate", strength, "--overwrite").code == 0
        assert np.array(Image.open("f.png"))[8, 8, :3].tolist() == color
