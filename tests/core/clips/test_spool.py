"""Inputs that are copied first: addresses of a server of our own, standard input, pipes."""

import http.server
import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import rvm_studio
from PIL import Image
from rvm_studio.core import open_reader
from rvm_studio.core.clips import spool
from rvm_studio.core.clips.spool import is_spooled, spool_name, spooled
from rvm_studio.core.errors import StudioError

posix = pytest.mark.skipif(os.name == "nt", reason="named pipes of POSIX")


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    """A folder, and another for what is copied, which must be empty afterwards."""
    (tmp_path / "work").mkdir()
    (tmp_path / "spool").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "spool"))
    yield
    assert not os.listdir(tmp_path / "spool")


@pytest.fixture
def server():
    """The current folder at an address; below /moved everything is somewhere else, below /broken half of it comes."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            if self.path.startswith("/moved/"):
                self.send_response(302)
                self.send_header("Location", self.path.removeprefix("/moved"))
                self.end_headers()
            elif self.path.startswith("/page"):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<html>please log in</html>")
            else:
                super().do_GET()

        def log_message(self, *_):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def pixels(path) -> list[np.ndarray]:
    with open_reader(path) as reader:
        return [frame.image for frame in reader]


def test_what_is_copied(tmp_path):
    assert [is_spooled(text) for text in ("-", "http://a/b", "HTTPS://a/b")] == [True] * 3
    assert not any(is_spooled(text) for text in ("clip.mp4", "", "-x", "rtsp://a/b", "./-", Path("clip.mp4"), "a\0b"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("-", "stdin"),
        ("https://example.com/a/My%20clip.mp4?token=1#t=2", "My clip.mp4"),
        ("https://example.com", "clip"),
        ("http://example.com/a%2F..%2Fb%3A.mov", "b_.mov"),
        ("https://example.com/..", "clip"),
        ("/dev/fd/63", "pipe"),
        ("inbox/feed.mkv", "feed.mkv"),
    ],
)
def test_names(text, name):
    assert spool_name(text) == name


@pytest.mark.parametrize("where", ["", "/moved"])
def test_an_address_like_the_file(server, make_clip, red_engine, where):
    make_clip("clip.mp4", size=(64, 48), frames=6)
    report = rvm_studio.matte(f"{server}{where}/clip.mp4?x=1", "out", alpha="a.mkv", engine=red_engine, warm_up=0)
    assert report.outputs == [Path("out/clip.mov"), Path("a.mkv")]
    source, alpha = pixels("clip.mp4"), pixels("a.mkv")
    assert len(alpha) == 6
    assert all(np.array_equal(a[..., 0], b[..., 0]) for a, b in zip(source, alpha, strict=True))


def test_a_picture_is_known_by_its_content(server, red_engine):
    Image.new("RGB", (16, 12), (200, 10, 20)).save("picture.png")
    os.rename("picture.png", "download")
    report = rvm_studio.matte(f"{server}/download", "cut.png", engine=red_engine)
    assert (report.kind, report.frames) == ("still", 1)
    assert np.array(Image.open("cut.png"))[0, 0].tolist() == [200, 10, 20, 200]


@pytest.mark.parametrize(
    ("path", "says"),
    [("/gone.mp4", "the server answered 404"), ("/page.mp4", "the server answered with a web page")],
)
def test_addresses_without_a_clip(server, red_engine, path, says):
    with pytest.raises(StudioError) as caught:
        rvm_studio.matte(server + path, "cut.mov", engine=red_engine)
    assert str(caught.value).startswith(f"{server}{path} could not be downloaded: {says}")
    assert str(caught.value).endswith("Check the address, or download the file and give its path.")


def test_an_unreadable_download_is_named_by_its_address(red_studio, server):
    Path("text.mp4").write_text("no video")
    ran = red_studio("matte", f"{server}/text.mp4", "-o", "cut.mov")
    assert ran.code == 1
    assert f"rvm-studio: {server}/text.mp4 cannot be opened as a video" in ran.err
    assert "rvm-studio-" not in ran.err


def test_the_command_line_reads_an_address(red_studio, server, make_clip):
    make_clip("clip.mp4", size=(32, 24), frames=2)
    ran = red_studio("matte", f"{server}/clip.mp4", "clip.mp4", "-o", "out", "--suffix", "_x", "--format", "mkv")
    assert (ran.code, ran.err.count("rvm-studio")) == (1, 1)
    assert "would both be written to" in ran.err
    ran = red_studio("matte", f"{server}/clip.mp4", "-o", "out", "--quiet")
    assert ran == (0, "", "")
    assert os.listdir("out") == ["clip.mov"]


def test_standard_input(red_studio, make_clip, monkeypatch):
    make_clip("clip.mp4", size=(32, 24), frames=3)
    with open("clip.mp4", "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        ran = red_studio("matte", "-", "-o", "out")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("-: matted 3 frames")
    assert os.listdir("out") == ["stdin.mov"]


@posix
def test_a_terminal_is_refused(red_studio, monkeypatch):
    import pty

    ours, theirs = pty.openpty()
    with open(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        ran = red_studio("matte", "-", "-o", "cut.mov")
    os.close(ours)
    assert (ran.code, ran.err) == (
        1,
        "rvm-studio: The input - is standard input, which is a terminal. Pipe a clip into it or name a file.\n",
    )


@posix
def test_a_named_pipe_is_read_once(red_engine, make_clip):
    make_clip("clip.mp4", size=(32, 24), frames=3)
    os.mkfifo("feed.mp4")
    with subprocess.Popen(["sh", "-c", "cat clip.mp4 > feed.mp4"]):
        report = rvm_studio.matte("feed.mp4", "out", engine=red_engine)
    assert (report.frames, report.outputs) == (3, [Path("out/feed.mov")])


@posix
def test_a_pipe_into_which_nobody_writes(monkeypatch):
    monkeypatch.setattr(spool, "PATIENCE", 0.0)
    os.mkfifo("feed.mp4")
    with (
        pytest.raises(StudioError, match=r"feed.mp4 is empty: no program wrote into it within 0 seconds"),
        spooled("feed.mp4"),
    ):
        pass


@posix
def test_a_writer_may_take_its_time(monkeypatch):
    """One that has opened the pipe is waited for, though it writes later than a pipe without one is waited for."""
    monkeypatch.setattr(spool, "PATIENCE", 0.0)
    os.mkfifo("feed")
    reading = os.open("feed", os.O_RDONLY | os.O_NONBLOCK)  # so that the next line does not wait
    writing = os.open("feed", os.O_WRONLY)
    inner = os.read

    def read(pipe, size):
        try:
            return inner(pipe, size)
        except BlockingIOError:
            if not gone:
                gone.append(1)
                os.write(writing, b"late")
                os.close(writing)
            raise

    gone = []
    monkeypatch.setattr(os, "read", read)
    with spooled("feed") as path:
        assert path.read_bytes() == b"late"
    os.close(reading)


def test_a_stop_ends_the_waiting(monkeypatch):
    if os.name != "posix":
        pytest.skip("named pipes of POSIX")
    os.mkfifo("feed")
    writing = os.open("feed", os.O_RDWR)
    with pytest.raises(StudioError, match="feed is empty"), spooled("feed", stopped=lambda: True):
        pass
    os.close(writing)


def test_a_full_disk_is_one_sentence(server, monkeypatch, make_clip):
    make_clip("clip.mp4", size=(32, 24), frames=2)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rvm_studio.core.weights.http_download.receive", full)
    with (
        pytest.raises(StudioError, match=r"cannot be copied to .* \(the disk is full\)"),
        spooled(f"{server}/clip.mp4"),
    ):
        pass
    shutil.rmtree("out", ignore_errors=True)
