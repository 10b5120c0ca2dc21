"""One handle on a file: frames with the clip's times, after a seek and after opening again too."""

from fractions import Fraction

from rvm_studio.core.video.video_track import VideoTrack

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
