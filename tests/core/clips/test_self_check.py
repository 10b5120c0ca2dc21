"""The parts that are tried: that they are found to work, and that what fails is found out and named."""

import av
import numpy as np
import pytest
import torch
from rvm_studio.core.clips import matte_clip as video_matting
from rvm_studio.core.clips import self_check
from rvm_studio.core.engines import build, choose
from rvm_studio.core.video import hardware_decoding
from rvm_studio.core.video import reader as video_reader
from rvm_studio.core.video import writer as video_writer
from rvm_studio.core.video.encoder_setup import EncoderSetup
from rvm_studio.core.video.output_formats import FORMATS
from rvm_studio.core.weights.network_weights import STARTER_PATH, load_network


def eager():
    return build(load_network(STARTER_PATH), choose(torch.device("cpu"), "eager"))


def test_two_frames_go_all_the_way():
    assert self_check.matte_two_frames(eager).variant == "mobilenetv3"


def test_the_matte_that_is_written_is_that_of_the_first_frames(monkeypatch):
    reports = []
    real = video_matting.matte_clip
    monkeypatch.setattr(video_matting, "matte_clip", lambda *a: reports.append(real(*a)) or reports[-1])
    self_check.matte_two_frames(eager)
    assert [report.frames for report in reports] == [2]
    assert not reports[0].outputs[0].exists()  # nothing stays


def broken(*_, **__):
    raise RuntimeError("it is broken\nand more")


@pytest.mark.parametrize(
    ("module", "name", "step"),
    [
        (video_reader, "open_reader", "decoding"),
        (av, "open", "decoding"),
        (video_matting, "matte_clip", "encoding"),
    ],
)
def test_the_part_that_fails_is_named(monkeypatch, module, name, step):
    monkeypatch.setattr(module, name, broken)
    with pytest.raises(self_check.CheckError, match=r"^RuntimeError: it is broken$") as error:
        self_check.matte_two_frames(eager)
    assert error.value.step == step


def test_an_encoder_that_fails_is_no_fault_of_the_decoder(monkeypatch):
    monkeypatch.setattr(video_writer.FrameWriter, "_write", broken)
    with pytest.raises(self_check.CheckError) as error:
        self_check.matte_two_frames(eager)
    assert error.value.step == "encoding"


@pytest.mark.parametrize("value", [float("nan"), 1.5, -0.1])
def test_a_network_that_gives_nonsense_does_not_work(monkeypatch, value):
    engine = eager()
    real = engine.run

    def run(*arguments, **options):
        output = real(*arguments, **options)
        return output._replace(pha=output.pha.clone().index_fill_(3, torch.tensor([7]), value))

    monkeypatch.setattr(engine, "run", run)
    with pytest.raises(self_check.CheckError, match="not numbers, or not within 0 to 1") as error:
        self_check.matte_two_frames(lambda: engine)
    assert error.value.step == "the network"


def test_a_network_that_cannot_be_loaded():
    with pytest.raises(self_check.CheckError) as error:
        self_check.matte_two_frames(broken)
    assert error.value.step == "loading the network"


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.suffix)
def test_a_format_is_written_and_read(row, tmp_path):
    self_check.write_and_read(row, tmp_path)


@pytest.mark.parametrize("codec", ["prores-4444", "h264", "hevc"])
def test_another_codec_is_written_and_read(codec, tmp_path):
    row = next(row for row in FORMATS if codec in row.choices)
    self_check.write_and_read(row, tmp_path, codec)
    self_check.write_and_read(row, tmp_path, codec)  # again in the same folder


def test_hardware_that_software_replaces_does_not_work(tmp_path, monkeypatch):
    (mp4,) = (row for row in FORMATS if row.suffix == ".mp4")
    monkeypatch.setattr(EncoderSetup, "problem", lambda self: "no device" if "nvenc" in self.codec else None)
    with pytest.raises(self_check.StudioError, match=r"^no device$"):
        self_check.write_and_read(mp4, tmp_path, "hevc-nvenc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row.suffix)
def test_a_format_that_is_written_wrongly_does_not_work(row, tmp_path, monkeypatch):
    real = video_writer.FrameWriter.write

    def write(self, image: np.ndarray, pts: int, number: int) -> None:
        dark = image.copy()
        dark[..., :3] //= 2
        real(self, dark, pts, number)

    monkeypatch.setattr(video_writer.FrameWriter, "write", write)
    with pytest.raises(self_check.StudioError, match="does not read back as it was written"):
        self_check.write_and_read(row, tmp_path)


def test_a_device_that_cannot_be_opened_decodes_nothing(monkeypatch):
    monkeypatch.setattr(hardware_decoding, "_decoders_of", lambda codec: {"vaapi"})
    with pytest.raises(hardware_decoding.DeviceTrouble, match="cuda does not decode h264 here"):
        self_check.decode_on("cuda")


def test_a_device_has_to_give_a_frame(monkeypatch):
    """The software decoder in the place of a device."""
    monkeypatch.setattr(hardware_decoding, "open_on_device", lambda path, stream, device: (av.open(str(path)), device))
    self_check.decode_on("cuda")


def test_errors_in_words():
    assert self_check.in_words(ValueError("one\ntwo")) == "ValueError: one"
    assert self_check.in_words(ValueError()) == "ValueError"
    assert self_check.in_words(self_check.StudioError("a sentence.\nAnother.")) == "a sentence. Another."
