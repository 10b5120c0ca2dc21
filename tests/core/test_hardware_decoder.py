"""Hardware decoders: asked for by name or found; whatever fails, the processor gives every frame once."""

import logging

import av
import numpy as np
import pytest
from rvm_studio.core import hardware_decoder, video_reader
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video_reader import open_reader


@pytest.fixture
def clip(tmp_path, make_clip):
    return make_clip(tmp_path / "clip.mp4", frames=20)


def read(clip, **options):
    with open_reader(clip, **options) as reader:
        return [(frame.pts, frame.image.copy()) for frame in reader], reader.damage


def assert_same(found, expected):
    (frames, damage), (true_frames, true_damage) = found, expected
    assert damage == true_damage
    assert [pts for pts, _ in frames] == [pts for pts, _ in true_frames]
    for (_, image), (_, truth) in zip(frames, true_frames, strict=True):
        assert np.array_equal(image, truth)


@pytest.mark.parametrize("hwaccel", ["auto", *hardware_decoder.devices()])
def test_every_kind_gives_the_same_frames(clip, hwaccel):
    """On the device where the machine has one, else by the processor."""
    assert_same(read(clip, hwaccel=hwaccel), read(clip))


def test_what_is_not_there_is_told(clip, caplog, monkeypatch):
    def fails(*_, **__):
        raise av.error.ExternalError(1, "no such card")

    monkeypatch.setattr(hardware_decoder, "devices", lambda: ["cuda", "vaapi"])
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr(hardware_decoder.av, "open", fails)
        assert hardware_decoder.open_on_device(str(clip), "auto") is None
        assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
        caplog.clear()
        assert hardware_decoder.open_on_device(str(clip), "cuda") is None
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "cuda" in caplog.text
        assert "no such card" in caplog.text


def test_a_kind_of_video_that_the_device_does_not_know(clip, caplog, monkeypatch):
    monkeypatch.setattr(hardware_decoder, "devices", lambda: ["vaapi"])
    monkeypatch.setattr(hardware_decoder, "decodes", lambda context: False)
    with caplog.at_level(logging.WARNING):
        expected = read(clip)
        assert_same(read(clip, hwaccel="vaapi"), expected)
    assert "vaapi" in caplog.text


def test_an_unknown_kind_is_an_error(clip):
    with pytest.raises(StudioError, match=r"'gpu'. Use --hwaccel none, auto"):
        open_reader(clip, hwaccel="gpu")


@pytest.mark.parametrize("span", [{}, {"start": 0.3}, {"start": 0.3, "duration": 0.3}])
@pytest.mark.parametrize("good", [0, 1, 7, 19])
def test_a_device_that_fails_leaves_the_rest_to_the_processor(clip, good, span, monkeypatch, caplog):
    """After `good` packets. The stand-in decodes as the processor does until then."""
    expected = read(clip, **span)
    decode = video_reader._VideoReader._decoded
    seen = []

    def decoded(self, packet):
        if self._on_device:
            seen.append(packet)
            if len(seen) > good:
                raise av.error.ExternalError(1, "the card went away")
        return decode(self, packet)

    monkeypatch.setattr(hardware_decoder, "open_on_device", lambda address, hwaccel: av.open(address))
    monkeypatch.setattr(hardware_decoder, "decodes", lambda context: True)
    monkeypatch.setattr(video_reader._VideoReader, "_decoded", decoded)
    with caplog.at_level(logging.WARNING):
        assert_same(read(clip, hwaccel="auto", **span), expected)
    assert seen
    if len(seen) > good:
        assert "the processor goes on" in caplog.text


def test_a_device_that_gives_nothing_at_all(clip, monkeypatch):
    expected = read(clip)
    decode = video_reader._VideoReader._decoded
    monkeypatch.setattr(hardware_decoder, "open_on_device", lambda address, hwaccel: av.open(address))
    monkeypatch.setattr(hardware_decoder, "decodes", lambda context: True)
    monkeypatch.setattr(
        video_reader._VideoReader, "_decoded", lambda self, packet: [] if self._on_device else decode(self, packet)
    )
    assert_same(read(clip, hwaccel="auto"), expected)


def test_damage_is_told_once(clip, monkeypatch):
    """A damaged packet makes the device fail first, and is then read by the processor, as without one."""
    content = bytearray(clip.read_bytes())
    with av.open(str(clip)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        place = packets[10].pos
    content[place : place + 60] = b"\xff" * 60
    clip.write_bytes(content)
    expected = read(clip)
    assert expected[1]
    monkeypatch.setattr(hardware_decoder, "open_on_device", lambda address, hwaccel: av.open(address))
    monkeypatch.setattr(hardware_decoder, "decodes", lambda context: True)
    found = read(clip, hwaccel="auto")
    assert_same(found, expected)
    assert len(set(found[1])) == len(found[1])


def test_planes_as_a_card_gives_them(clip):
    """NV12 goes to the same RGB as the planes of a software decoder."""
    from rvm_studio.core.video_color import ToRGB, resolve_tags

    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            tags = resolve_tags(frame, frame.height)
            assert np.array_equal(ToRGB()(frame.reformat(format="nv12"), tags), ToRGB()(frame, tags))
