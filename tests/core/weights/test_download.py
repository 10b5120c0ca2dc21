"""Downloads against a local server that breaks, stalls, lies and ignores Range."""

import hashlib
import http.server
import io
import logging
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.errors import DownloadError, StudioError
from rvm_studio.core.weights import download as weights_download
from rvm_studio.core.weights import http_download
from rvm_studio.core.weights import network_weights as weights
from rvm_studio.core.weights.download import CATALOGUE, CatalogueEntry, download, lock

pytestmark = pytest.mark.usefixtures("one_thread")

CONTENT = random.Random(0).randbytes(700_001)  # some chunks and a bit


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; each request takes the next fault from `faults` (None or an empty list: none)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: list = []
        self.ranges = True
        self.tell_length = True
        self.log: list[dict] = []  # of each request: range (text or None), status, sent (bytes of the body)
        self.go_on = threading.Event()  # frees stalled requests

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        entry = {"path": self.path, "range": self.headers.get("Range"), "sent": 0}
        self.server.log.append(entry)
        fault = self.server.faults.pop(0) if self.server.faults else None
        content = self.server.files.get(self.path.lstrip("/"))
        start = 0
        if isinstance(fault, int):
            entry["status"] = fault
        elif content is None:
            entry["status"] = 404
        elif entry["range"] and self.server.ranges:
            start = int(entry["range"].removeprefix("bytes=").rstrip("-"))
            entry["status"] = 206 if start < len(content) else 416
        else:
            entry["status"] = 200
        self.send_response(entry["status"])
        if entry["status"] == 416:
            self.send_header("Content-Range", f"bytes */{len(content)}")
        if entry["status"] not in (200, 206):
            self.end_headers()
            return
        body = content[start:]
        if entry["status"] == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.tell_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        kind, count = fault or ("all", len(body))
        entry["sent"] = len(body[:count])  # noted first: the client may be done before this thread goes on
        self.wfile.write(body[:count])
        if kind == "stall":
            self.wfile.flush()
            self.server.go_on.wait(20)
        if kind == "reset":
            self.wfile.flush()
            linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # no time: a reset
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()

    def log_message(self, format, *args):
        pass


@pytest.fixture(autouse=True)
def _quick_and_local(monkeypatch):
    monkeypatch.setattr(http_download, "RETRY_PAUSES", (0, 0, 0))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("RVM_MIRROR", "RVM_MODELS_DIR", "RVM_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def entry(server) -> CatalogueEntry:
    """An entry for CONTENT on the local server."""
    server.files["some.pth"] = CONTENT
    digest = hashlib.sha256(CONTENT).hexdigest()
    return replace(CATALOGUE["mobilenetv3"], url=f"{server.base}/some.pth", sha256=digest, size=len(CONTENT) - 1000)


def _leave_partial(folder: Path, content: bytes) -> None:
    (folder / "some.pth.partial").write_bytes(content)


def _assert_whole(folder: Path) -> None:
    assert (folder / "some.pth").read_bytes() == CONTENT
    assert [file.name for file in folder.iterdir()] == ["some.pth"]


def test_a_whole_download_takes_one_request(server, entry, tmp_path):
    assert download(entry, tmp_path, progress=False) == tmp_path / "some.pth"
    _assert_whole(tmp_path)
    assert [(request["range"], request["sent"]) for request in server.log] == [(None, len(CONTENT))]


def test_without_content_length(server, entry, tmp_path):
    server.tell_length = False
    download(entry, tmp_path, progress=False)
    _assert_whole(tmp_path)


def test_a_closed_connection_is_resumed_where_it_stopped(server, entry, tmp_path):
    server.faults = [("close", 300_000), ("close", 100_000)]
    download(entry, tmp_path, progress=False)
    _assert_whole(tmp_path)
    assert [request["range"] for request in server.log] == [None, "bytes=300000-", "bytes=400000-"]
    assert sum(request["sent"] for request in server.log) == len(CONTENT)


def test_a_reset_connection_is_resumed(server, entry, tmp_path):
    server.faults = [("reset", 300_000)]
    download(entry, tmp_path, progress=False)
    _assert_whole(tmp_path)
    assert len(server.log) == 2
    begin = int(re.fullmatch(r"bytes=(\d+)-", server.log[1]["range"] or "bytes=0-")[1])  # a reset may lose all
    assert server.log[1]["sent"] == len(CONTENT) - begin


def test_a_silent_server_is_given_up_and_asked_again(server, entry, tmp_path, monkeypatch):
    monkeypatch.setattr(http_download, "TIMEOUT", 0.3)
    server.faults = [("stall", 300_000)]
    download(entry, tmp_path, progress=False)
    _assert_whole(tmp_path)
    assert [request["range"] for request in server.log] == [None, "bytes=262144-"]  # whole chunks are kept


def test_tries_are_limited_and_the_part_is_kept_for_the_next_call(server, entry, tmp_path):
    server.faults = [("close", 1000)] + [("close", 0)] * 4
    with pytest.raises(
        StudioError, match=r"some\.pth could not be downloaded: the connection broke \(received 1000 of"
    ):
        download(entry, tmp_path, progress=False)
    assert len(server.log) == 1 + 4  # the first brought bytes; then one failure and three retries
    assert (tmp_path / "some.pth.partial").read_bytes() == CONTENT[:1000]
    server.log.clear()
    download(entry, tmp_path, progress=False)
    _assert_whole(tmp_path)
    assert [(request["range"], request["sent"]) for request in server.log] == [("bytes=1000-", len(CONTENT) - 1000)]


def test_tries_that_bring_bytes_do_not_count(server, entry, tmp_path):
    server.faults = [("close", 50_000)] * 10
    download(entry, tmp_path, progress=False)
    _assert_whole(tmp_path)
    assert len(server.log) == 11


def test_a_server_that_ignores_range_starts_over(server, entry, tmp_path):
    server.ranges = False
    _leave_partial(tmp_path, CONTENT[:1000])
    download(entry, tmp_path, progress=False)
    _assert_whole(tmp_path)
    assert [(request["range"], request["status"]) for request in server.log] == [("bytes=1000-", 200)]


def test_a_complete_part_needs_no_byte(server, entry, tmp_path):
    _leave_partial(tmp_path, CONTENT)
    download(entry, tmp_path, progress=False)
    _assert_whole(tmp_path)
    assert [(request["status"], request["sent"]) for request in server.log] == [(416, 0)]


def test_a_part_longer_than_the_file_starts_over(server, entry, tmp_path):
    _leave_partial(tmp_path, CONTENT + b"more")
    download(entry, tmp_path, progress=False)
    _assert_whole(tmp_path)
    assert [request["status"] for request in server.log] == [416, 200]


def test_a_part_of_another_file_is_found_out_and_replaced(server, entry, tmp_path):
    """As after the server's file has changed."""
    _leave_partial(tmp_path, b"x" * 1000)
    download(entry, tmp_path, progress=False)
    _assert_whole(tmp_path)
    assert [request["range"] for request in server.log] == ["bytes=1000-", None]


def test_a_file_that_stays_wrong_is_fetched_once_more_and_no_more(server, entry, tmp_path):
    server.files["some.pth"] = b"y" * len(CONTENT)
    server.faults = [("close", 1000), None, ("close", 1000)]
    with pytest.raises(DownloadError, match="its SHA-256 is"):
        download(entry, tmp_path, progress=False)
    assert [request["range"] for request in server.log] == [None, "bytes=1000-"] * 2
    assert list(tmp_path.iterdir()) == []


def test_wrong_content_is_deleted_and_both_hashes_are_told(server, entry, tmp_path):
    server.files["some.pth"] = b"y" * len(CONTENT)
    with pytest.raises(StudioError) as caught:
        download(entry, tmp_path, progress=False)
    message = str(caught.value)
    for part in (
        entry.url,
        hashlib.sha256(server.files["some.pth"]).hexdigest(),
        entry.sha256,
        "RVM_MIRROR",
    ):
        assert part in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_refusal_is_final_and_names_every_choice(server, entry, tmp_path, status):
    server.faults = [status]
    with pytest.raises(StudioError) as caught:
        download(entry, tmp_path, progress=False)
    for part in (
        entry.url,
        str(status),
        f"put some.pth into {tmp_path}",
        "RVM_WEIGHTS",
        "RVM_MIRROR",
        '"starter"',
    ):
        assert part in str(caught.value)
    assert len(server.log) == 1


def test_a_busy_server_is_asked_again(server, entry, tmp_path):
    server.faults = [503, 429, 500]
    download(entry, tmp_path, progress=False)
    _assert_whole(tmp_path)
    server.faults = [503] * 4
    with pytest.raises(StudioError, match="answered 503"):
        download(entry, tmp_path, progress=False)


def test_offline_fails_at_once_and_names_every_choice(entry, tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/some.pth"

    def sleep(seconds):
        raise AssertionError("waited although nothing answers")

    monkeypatch.setattr(http_download.time, "sleep", sleep)
    _leave_partial(tmp_path, CONTENT[:10])
    with pytest.raises(StudioError) as caught:
        download(replace(entry, url=url), tmp_path, progress=False)
    message, *choices = str(caught.value).splitlines()
    assert message == f"{url} could not be downloaded: the server cannot be reached (Connection refused)."
    for choice, part in zip(
        choices,
        ("1. call again when you are online", f"2. put some.pth into {tmp_path}", "3. for a rough matte"),
        strict=True,
    ):
        assert choice.startswith(f"  {part}")
    assert "--" not in str(caught.value)  # that is for the command line
    assert (tmp_path / "some.pth.partial").read_bytes() == CONTENT[:10]


def test_mirrors(server, entry, tmp_path, monkeypatch):
    server.files = {"far/away/some.pth": CONTENT}
    folder = tmp_path / "argument"
    folder.mkdir()
    monkeypatch.setenv("RVM_MIRROR", "http://127.0.0.1:9/never")  # the argument comes first
    download(entry, folder, mirror=f"{server.base}/far/away/", progress=False)
    _assert_whole(folder)

    folder = tmp_path / "variable"
    folder.mkdir()
    monkeypatch.setenv("RVM_MIRROR", f"{server.base}/far/away")
    download(entry, folder, progress=False)
    _assert_whole(folder)
    assert [request["path"] for request in server.log] == ["/far/away/some.pth"] * 2


def test_a_file_mirror(entry, tmp_path):
    shelf = tmp_path / "a shelf"
    shelf.mkdir()
    (shelf / "some.pth").write_bytes(CONTENT)
    folder = tmp_path / "models"
    folder.mkdir()
    _leave_partial(folder, CONTENT[:1000])
    download(entry, folder, mirror=shelf.as_uri(), progress=False)
    _assert_whole(folder)
    with pytest.raises(StudioError, match=r"some\.pth could not be downloaded"):
        download(entry, folder, mirror=tmp_path.as_uri(), progress=False)


@pytest.mark.parametrize("mirror", ["ftp://host/x", "/a/folder", "host.example"])
def test_a_mirror_that_is_no_address(entry, tmp_path, mirror):
    with pytest.raises(StudioError, match="expected one that begins with https://"):
        download(entry, tmp_path, mirror=mirror, progress=False)


def test_an_unwritable_place(entry, tmp_path):
    (tmp_path / "some.pth.partial").mkdir()  # stands for every error of the disk; permissions do not stop root
    with pytest.raises(StudioError, match=r"some.pth.partial cannot be written \(Is a directory\). Free .* writable.$"):
        download(entry, tmp_path, progress=False)
    (tmp_path / "file").touch()
    with pytest.raises(StudioError, match="file cannot be written"), lock(tmp_path / "file" / "some.pth"):
        pass


def test_the_variable_that_chooses_a_folder_is_named_for_that_folder_only(entry, tmp_path, monkeypatch):
    """ComfyUI's folder of models does not follow it."""
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    for folder in (tmp_path / "models", tmp_path / "elsewhere"):
        (folder / "some.pth.partial").mkdir(parents=True)
        with pytest.raises(StudioError) as caught:
            download(entry, folder, progress=False)
        assert ("RVM_MODELS_DIR" in str(caught.value)) == (folder.name == "models")


def test_progress_is_plain_lines_without_a_terminal(entry, tmp_path, capsys):
    download(entry, tmp_path)
    assert capsys.readouterr().err.splitlines() == ["some.pth: 0.0 of 0.7 MB", "some.pth: 0.7 of 0.7 MB"]
    download(entry, tmp_path, progress=False)
    assert capsys.readouterr() == ("", "")


def test_progress_is_a_bar_on_a_terminal(entry, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    download(entry, tmp_path)
    assert "some.pth: 100%|" in capsys.readouterr().err


def test_a_lock_is_exclusive(tmp_path, capsys):
    order = []

    def second():
        with lock(tmp_path / "x"):
            order.append("second")

    thread = threading.Thread(target=second)
    with lock(tmp_path / "x"):
        thread.start()
        time.sleep(3 * weights_download.LOCK_POLL)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]
    assert "waiting for another process that is downloading x" in capsys.readouterr().err


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom rvm_studio.core.weights.download import lock\n"
        "with lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / "x")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        free = threading.Event()

        def wait():
            with lock(tmp_path / "x", progress=False):
                free.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert not free.wait(3 * weights_download.LOCK_POLL)
        holder.kill()
        assert free.wait(20)
        thread.join()


def test_the_catalogue_says_what_the_reference_says(reference):
    readme = (reference / "README.md").read_text(encoding="utf-8")
    for name, official in CATALOGUE.items():
        assert official.name == official.variant == name
        assert official.licence == "GPL-3.0"
        assert re.search(rf"`{re.escape(official.file_name)}` sha256\s+{official.sha256}", readme)
        parameters = re.search(rf"keys_{name}\.txt` \(\d+ keys, ([\d,]+) parameters\)", readme)[1]
        assert official.size == 4 * int(parameters.replace(",", ""))
        assert urlsplit(official.url)[:2] == ("https", "github.com")
        assert urlsplit(official.url).path.startswith("/PeterL1n/RobustVideoMatting/releases/download/v1.0.0/")


def test_importing_brings_no_torch_and_opens_no_connection():
    script = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('a connection at import')\n"
        "socket.socket.connect = refuse\n"
        "import rvm_studio.core.cli.weights, rvm_studio.core.weights.download\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


# From here on: weights.fetch, with real full-size weights behind the local server.


@pytest.fixture(scope="module")
def original() -> bytes:
    """A .pth of a whole MobileNetV3 network, as bytes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        state_dict = MattingNetwork("mobilenetv3").state_dict()
    file = io.BytesIO()
    torch.save(state_dict, file)
    return file.getvalue()


@pytest.fixture
def published(server, original, monkeypatch, tmp_path) -> CatalogueEntry:
    """The catalogue's mobilenetv3 is `original` on the local server; the models folder is tmp_path/models."""
    server.files["rvm_mobilenetv3.pth"] = original
    entry = replace(
        CATALOGUE["mobilenetv3"],
        url=f"{server.base}/rvm_mobilenetv3.pth",
        sha256=hashlib.sha256(original).hexdigest(),
    )
    monkeypatch.setitem(CATALOGUE, "mobilenetv3", entry)
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    return entry


def _assert_equals_original(path: Path, original: bytes, tmp_path: Path) -> None:
    (tmp_path / "truth.pth").write_bytes(original)
    truth = torch.load(tmp_path / "truth.pth", weights_only=True)
    found = weights.read(path).state_dict
    assert found.keys() == truth.keys()
    assert all(torch.equal(found[name], truth[name]) for name in truth)


def test_fetch_resumes_verifies_converts_and_is_quick_the_second_time(server, published, original, tmp_path):
    server.faults = [("close", 5_000_000)]
    path = weights.fetch("mobilenetv3", progress=False)
    assert path == tmp_path / "models" / "rvm_mobilenetv3.safetensors"
    assert [request["range"] for request in server.log] == [None, "bytes=5000000-"]
    assert sum(request["sent"] for request in server.log) == len(original)
    _assert_equals_original(path, original, tmp_path)
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "rvm_mobilenetv3.pth.lock",
        "rvm_mobilenetv3.safetensors",
    ]
    described = weights.read(path).metadata
    assert described["source_sha256"] == published.sha256
    assert described["source_url"] == published.url
    assert described["licence"] == "GPL-3.0"
    assert described.keys() == {
        "format", "variant", "refiner", "source", "source_url", "source_sha256", "licence", "training_stage",
        "tensors_sha256",
    }  # fmt: skip
    assert weights.fetch("mobilenetv3") == path
    assert weights.find() == path
    assert len(server.log) == 2


def test_fetch_at_once_from_many_downloads_once(server, published, original, tmp_path):
    server.faults = [("close", 5_000_000)]  # the others wait for the broken one to go on
    found, threads = [], []
    for _ in range(4):
        threads.append(threading.Thread(target=lambda: found.append(weights.fetch("mobilenetv3", progress=False))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [tmp_path / "models" / "rvm_mobilenetv3.safetensors"] * 4
    assert sum(request["sent"] for request in server.log) == len(original)
    _assert_equals_original(found[0], original, tmp_path)


def test_an_original_put_there_by_hand_is_taken(server, published, original, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "rvm_mobilenetv3.pth").write_bytes(original)
    path = weights.fetch("mobilenetv3", progress=False)
    _assert_equals_original(path, original, tmp_path)
    assert not (tmp_path / "models" / "rvm_mobilenetv3.pth").exists()
    assert server.log == []


def test_a_wrong_original_put_there_by_hand_is_told_and_left(server, published, tmp_path):
    (tmp_path / "models").mkdir()
    file = tmp_path / "models" / "rvm_mobilenetv3.pth"
    file.write_bytes(b"something else")
    with pytest.raises(StudioError, match="is not the official file: its SHA-256 is") as caught:
        weights.fetch("mobilenetv3", progress=False)
    assert hashlib.sha256(b"something else").hexdigest() in str(caught.value)
    assert published.sha256 in str(caught.value)
    assert file.read_bytes() == b"something else"
    assert server.log == []


@pytest.mark.parametrize("damage", ["cut", "bit"])
def test_a_damaged_file_is_fetched_again(published, original, tmp_path, caplog, damage):
    path = weights.fetch("mobilenetv3", progress=False)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[-1000:]
    else:
        content[-1000] ^= 1
    path.write_bytes(content)
    assert weights.fetch("mobilenetv3", progress=False) == path
    assert "is damaged; downloading it again" in caplog.text
    _assert_equals_original(path, original, tmp_path)


def test_sound_weights_of_another_origin_are_used_and_told(server, published, tmp_path, caplog):
    path = tmp_path / "models" / "rvm_mobilenetv3.safetensors"
    weights.save(MattingNetwork("mobilenetv3"), path, {"source": "my own training"})
    content = path.read_bytes()
    with caplog.at_level(logging.WARNING):
        assert weights.fetch("mobilenetv3", progress=False) == path
    assert "was not converted from the official rvm_mobilenetv3.pth" in caplog.text
    assert path.read_bytes() == content
    assert server.log == []


def test_fetch_of_an_unknown_name():
    with pytest.raises(StudioError, match=r"no weights named 'mobilenetv4'. Use mobilenetv3 or resnet50"):
        weights.fetch("mobilenetv4")
