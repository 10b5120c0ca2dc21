"""One handle on a file: frames with the clip's times, after a seek and after opening again too."""

from fractions import Fraction

import av
import numpy as np
from rvm_studio.core.video.reader import open_reader
from rvm_studio.core.video.video_track import GuessedTimes, VideoTrack

from .flashing_clips import flashing_clip


def test_times_after_a_seek_and_a_restart(tmp_path):
    damage: list[str] = []
    path = flashing_clip(tmp_path / "a.mkv", 2, options={"g": "10"}, output_ts_offset="100")
    track = VideoTrack(path, damage)
    whole = [frame.pts for frame in track.decode()]
    assert whole[0] * track.time_base < Fraction(1, 20)
    assert len(whole) == 50
    track.restart()
    assert track.seek_before(whole[30])
    found = [frame.pts for frame in track.decode()]
    assert found == whole[50 - len(found) :]
    assert 20 <= len(found) < 50
    track.restart()
    assert [frame.pts for frame in track.decode()] == whole
    assert abs(track.read_until - 2) < 0.05
    track.close()
    assert damage == []


def test_a_program_stream_that_times_only_some_frames(tmp_path):
    path = tmp_path / "a.vob"
    with av.open(str(path), "w", format="vob") as container:
        video, sound = container.add_stream("mpeg2video", rate=25), container.add_stream("mp2", rate=48000)
        video.width, video.height, video.pix_fmt, video.codec_context.gop_size = 64, 48, "yuv420p", 1
        video.bit_rate, sound.codec_context.layout = 2_000_000, "mono"
        for k in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), k * 67 % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(video.encode(frame))
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.int16), format="s16", layout="mono")
            silence.sample_rate, silence.pts, silence.time_base = 48000, k * 1920, Fraction(1, 48000)
            container.mux(sound.encode(silence))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    with open_reader(path) as reader:
        times = [frame.pts * reader.info.time_base for frame in reader]
    assert [time - times[0] for time in times] == [Fraction(k, 25) for k in range(50)]
    assert reader.notes == reader.damage == []


def test_guessed_times():
    def mended(times):
        guesses = GuessedTimes(40)
        return [guesses.mended(time) for time in times]

    assert mended([0, 40, 120, 160, 160, 200, None, 280]) == [0, 40, 80, 120, 160, 200, 240, 280]
    telecined = [0, 60, 100, 160, 200]
    assert mended(telecined) == telecined
    paused = [0, 40, 400, 440]
    assert mended(paused) == paused
    missing = [0, *range(80, 80 + 40 * 100, 40)]  # one frame, for good
    assert mended(missing)[:51] == list(range(0, 51 * 40, 40))
    assert mended(missing)[51:] == missing[51:]
