"""MOV and MP4 files whose fragments were hidden: as without fragments, and readable whenever they end."""

import shutil
import subprocess
from pathlib import Path

import av
import pytest
from rvm_studio.core.video import container_file
from rvm_studio.core.video.movie_boxes import cut_incomplete, finish_movie, write_with_table_first

from .small_outputs import image, names, writer

needs_ffprobe = pytest.mark.skipif(not shutil.which("ffprobe"), reason="no ffprobe")


def written(path: Path, frames: int, content="rgba", **more):
    made = writer(path, content, **more)
    for step in range(frames):
        made.write(image(step % 9, 1 if content == "gray" else len(content)), 1001 * step + 500, step)
    return made


def boxes(path: Path) -> list[tuple[str, int]]:
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8].decode(), size))
        at += size
    return found


def packets(path: Path) -> list[tuple]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        about = (stream.start_time, stream.duration, stream.frames, stream.average_rate, container.duration)
        return [
            about,
            *((p.pts, p.dts, p.duration, p.is_keyframe, bytes(p)) for p in container.demux(stream) if p.size),
        ]


@pytest.mark.parametrize(("name", "content"), [("o.mov", "rgba"), ("o.mov", "gray"), ("o.mp4", "rgb")])
def test_a_finished_file_is_as_without_fragments(tmp_path, monkeypatch, name, content):
    with_fragments = written(tmp_path / name, 40, content, threads=1).finish()
    monkeypatch.setattr(container_file, "_UNFINISHED_OPTIONS", {"mp4": {"movflags": "+faststart"}})
    without = written(tmp_path / f"plain_{name}", 40, content, threads=1).finish()
    assert packets(with_fragments) == packets(without)
    kinds = [kind for kind, _ in boxes(with_fragments)]
    assert set(kinds) <= {"ftyp", "free", "wide", "mdat", "moov"}
    assert (kinds.index("moov") < kinds.index("mdat")) == (name == "o.mp4"), "MP4 plays while it loads"
    start = sum(size for _, size in boxes(with_fragments)[: kinds.index("moov")])
    assert b"mvex" not in with_fragments.read_bytes()[start:][: boxes(with_fragments)[kinds.index("moov")][1]]


@needs_ffprobe
def test_another_program_reads_the_table(tmp_path):
    path = written(tmp_path / "o.mp4", 40, "rgb").finish()
    ask = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=nb_frames,nb_read_frames,duration"]
    done = subprocess.run([*ask, "-of", "csv=p=0", str(path)], capture_output=True, text=True, check=True)
    duration, stored, read = done.stdout.strip().split(",")
    assert (stored, read, done.stderr) == ("40", "40", "")
    assert float(duration) == pytest.approx(40 * 1001 / 30000, abs=1e-3)


@pytest.mark.parametrize(("name", "content"), [("o.mov", "rgba"), ("o.mp4", "rgb")])
def test_an_unfinished_file_reads_wherever_it_ends(tmp_path, name, content):
    made = written(tmp_path / name, 90, content, threads=1)
    (partial,) = (path for path in tmp_path.iterdir() if path.suffix == Path(name).suffix)
    data = partial.read_bytes()
    made.abandon(keep=False)
    counts = []
    for end in range(len(data) // 2, len(data) + 1, len(data) // 16):
        cut = tmp_path / f"cut{end}{partial.suffix}"
        cut.write_bytes(data[:end])
        cut_incomplete(cut)
        with av.open(str(cut)) as container:
            counts.append(sum(1 for _ in container.decode(video=0)))
    assert counts == sorted(counts)
    assert counts[-1] > (80 if name == "o.mov" else 20)


def test_a_file_of_another_structure_stays_as_it_is(tmp_path):
    for number, data in enumerate([b"", b"no boxes at all", b"\0\0\0\x08moov\0\0\0\x08mdat", bytes(100)]):
        path, copy = tmp_path / str(number), tmp_path / "copy"
        path.write_bytes(data)
        copy.write_bytes(b"")
        finish_movie(path)
        assert not write_with_table_first(path, copy)
        assert path.read_bytes() == data


def test_without_room_for_a_copy_the_table_stays_last(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(container_file, "write_with_table_first", full)
    path = written(tmp_path / "o.mp4", 12, "rgb").finish()
    assert [kind for kind, _ in boxes(path)][-1] == "moov"
    assert len(packets(path)) == 13
    assert names(tmp_path) == ["o.mp4"]
