"""Downloads from servers that answer exactly what a test says: lies, other hosts, broken encodings, certificates."""

import contextlib
import gzip
import os
import random
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from rvm_studio.core.weights import http_download
from rvm_studio.core.weights.http_download import FetchError, receive

CONTENT = random.Random(1).randbytes(300_000)
SIZES = range(len(CONTENT) - 1000, len(CONTENT) + 100_000)

Answer = bytes | Callable[[socket.socket], None]


class Server:
    """Each connection gets the next answer; a callable writes it itself. The last answer is repeated."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None):
        self.answers, self.tls = list(answers), tls
        self.requests: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/some.pth"
        self.end = threading.Event()  # frees answers that wait
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if self.end.is_set():
                    return
                with contextlib.suppress(OSError):  # a client that does not like the certificate, or has enough
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        if self.tls:
            connection = self.tls.wrap_socket(connection, server_side=True)
        head = b""
        while b"\r\n\r\n" not in head and head[:1] != b"\x16":  # that begins TLS
            head += connection.recv(65536) or b"\r\n\r\n"
        self.requests.append(head.decode("latin-1"))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer(connection) if callable(answer) else connection.sendall(answer)
        if self.tls:
            connection.unwrap()

    def close(self) -> None:
        self.end.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._socket.close()


def answer(body: bytes = CONTENT, *headers: str, status: str = "200 OK") -> bytes:
    """An answer with just these headers."""
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers, "Connection: close", "")).encode() + body


def part(start: int, content_range: str | None = None) -> bytes:
    content_range = content_range or f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
    return answer(CONTENT[start:], f"Content-Range: {content_range}", status="206 Partial Content")


@pytest.fixture(autouse=True)
def _quick_and_local(monkeypatch):
    monkeypatch.setattr(http_download, "RETRY_PAUSES", (0, 0))
    monkeypatch.setattr(http_download, "TIMEOUT", 20)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers = []

    def start(*answers: Answer, **options) -> Server:
        servers.append(Server(*answers, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def partial(tmp_path) -> Path:
    return tmp_path / "some.pth.partial"


def fault(url: str, partial: Path) -> str:
    """The sentence of a download that must fail."""
    with pytest.raises(FetchError) as caught:
        receive(url, partial, SIZES, progress=False)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 250
    return text


# ---- lengths and ranges


@pytest.mark.parametrize("length", ["-5", "many", "9" * 30, "9" * 5000, "", f"{len(CONTENT)}, {len(CONTENT)}"])
def test_a_content_length_that_means_nothing_does_not_matter(serve, partial, length):
    server = serve(answer(CONTENT, f"Content-Length: {length}"))
    assert receive(server.url, partial, SIZES, progress=False) is False
    assert partial.read_bytes() == CONTENT


@pytest.mark.parametrize("headers", [("5", "7"), ("5, 7",)])
def test_contradictory_lengths_are_one_sentence(serve, partial, headers):
    server = serve(answer(CONTENT, *(f"Content-Length: {value}" for value in headers)))
    assert fault(server.url, partial).startswith("could not be downloaded: ")
    assert not partial.exists() or partial.stat().st_size < SIZES.stop


@pytest.mark.parametrize("sent", [0, 1000])
def test_a_connection_that_ends_early_without_a_length_is_resumed(serve, partial, sent):
    server = serve(answer(CONTENT[:sent]), part(1000) if sent else answer())
    assert receive(server.url, partial, SIZES, progress=False) is bool(sent)
    assert partial.read_bytes() == CONTENT
    assert ("Range: bytes=1000-" in server.requests[1]) == bool(sent)


@pytest.mark.parametrize(
    "second",
    [
        part(1000, "nonsense"),
        part(1000, f"bytes 999-{len(CONTENT) - 1}/{len(CONTENT)}"),
        part(1000, f"bytes {'1' * 5000}-2/3"),
        part(1000, "bytes */*"),
        answer(CONTENT[1000:], status="206 Partial Content"),
        answer(gzip.compress(CONTENT[1000:], mtime=0), "Content-Encoding: gzip",
               f"Content-Range: bytes 1000-{len(CONTENT)}/*", status="206 Partial Content"),
        answer(b"", "Content-Range: bytes */7", status="416 Range Not Satisfiable"),
        answer(b"", status="416 Range Not Satisfiable"),
    ],
)  # fmt: skip
def test_a_range_that_was_not_requested_starts_over(serve, partial, second):
    partial.write_bytes(CONTENT[:1000])
    server = serve(second, answer())
    assert receive(server.url, partial, SIZES, progress=False) is False
    assert partial.read_bytes() == CONTENT
    assert "Range:" not in server.requests[1]


def test_a_server_that_always_sends_another_part_is_given_up(serve, partial):
    server = serve(part(7))
    assert "a different part than requested" in fault(server.url, partial)
    assert len(server.requests) == 3


def test_a_server_that_sends_a_part_and_then_denies_it_is_given_up(serve, partial):
    refusal = answer(b"", status="416 Range Not Satisfiable")
    server = serve(answer(CONTENT[:1000]), *[refusal, answer(CONTENT[:1000])] * 3, b"")
    fault(server.url, partial)
    assert len(server.requests) == 4  # the first brought bytes, the other three nothing more


# ---- more than the file


def test_an_announced_excess_is_not_received(serve, partial):
    partial.write_bytes(CONTENT[:1000])
    server = serve(answer(b"", "Content-Length: 287000000"))
    assert fault(server.url, partial) == "is not the expected file: it has at least 287.0 MB, expected 0.3 MB"
    assert partial.read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize("header", [None, "Content-Encoding: gzip", "Transfer-Encoding: chunked"])
def test_an_endless_answer_is_cut_off(serve, partial, header):
    block = {None: bytes(1 << 20), "Content-Encoding: gzip": gzip.compress(bytes(1 << 20))}.get(
        header, b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    )

    def endless(connection: socket.socket) -> None:
        connection.sendall(answer(b"", *filter(None, [header])))
        while True:  # until the client closes
            connection.sendall(block)

    server = serve(endless)
    assert fault(server.url, partial).startswith("is not the expected file: it has at least 0.5 MB")
    assert not partial.exists()
    assert len(server.requests) == 1


def test_a_part_that_is_too_large_is_discarded(serve, partial):
    partial.write_bytes(bytes(SIZES.stop))
    server = serve(answer())
    receive(server.url, partial, SIZES, progress=False)
    assert partial.read_bytes() == CONTENT
    assert "Range:" not in server.requests[0]


# ---- other answers


@pytest.mark.parametrize("content_type", ["text/html", "text/html; charset=utf-8"])
def test_a_page_to_log_in_is_named_and_spoils_nothing(serve, partial, content_type):
    partial.write_bytes(CONTENT[:1000])
    server = serve(answer(b"<html>please log in</html>", f"Content-Type: {content_type}"))
    assert "web page, perhaps a login page" in fault(server.url, partial)
    assert partial.read_bytes() == CONTENT[:1000]
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "401 Unauthorized", "999 Strange"])
def test_other_statuses_are_told(serve, partial, status):
    server = serve(answer(b"", status=status))
    assert f"the server answered {status}" in fault(server.url, partial)


def test_gzip_is_decoded(serve, partial):
    packed = gzip.compress(CONTENT)
    server = serve(answer(packed, "Content-Encoding: gzip", f"Content-Length: {len(packed)}"))
    receive(server.url, partial, SIZES, progress=False)
    assert partial.read_bytes() == CONTENT
    assert "Accept-Encoding: identity" in server.requests[0]


@pytest.mark.parametrize(
    "body", [gzip.compress(CONTENT, mtime=0)[:1000], b"this is no gzip" * 100], ids=["cut", "none"]
)
def test_broken_gzip_is_tried_again(serve, partial, body):
    server = serve(answer(body, "Content-Encoding: gzip"), answer())
    receive(server.url, partial, SIZES, progress=False)
    assert partial.read_bytes() == CONTENT
    partial.unlink()
    server = serve(answer(body, "Content-Encoding: gzip"))
    assert fault(server.url, partial).startswith("could not be downloaded: the connection broke")


def test_a_redirect_to_another_host_is_followed(serve, partial):
    partial.write_bytes(CONTENT[:1000])
    other = serve(part(1000))
    away = f"Location: http://localhost:{other.port}/elsewhere"
    server = serve(answer(b"", away, "Content-Length: 0", status="302 Found"))
    receive(server.url, partial, SIZES, progress=False)
    assert partial.read_bytes() == CONTENT
    assert other.requests[0].startswith("GET /elsewhere ")
    assert "Range: bytes=1000-" in other.requests[0]


@pytest.mark.parametrize("place", ["/some.pth", "file:///etc/passwd", "http://[broken/", "http://a..b/"])
def test_a_redirect_to_nowhere_is_one_sentence(serve, partial, place):
    server = serve(answer(b"", f"Location: {place}", "Content-Length: 0", status="302 Found"))
    assert fault(server.url, partial).startswith("could not be downloaded: ")
    assert not partial.exists()


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_what_is_no_http_is_one_sentence(serve, partial, said):
    server = serve(said)
    text = fault(server.url, partial)
    assert text.startswith("could not be downloaded: ")
    assert len(server.requests) == 3


def test_a_server_that_says_nothing_is_given_up(serve, partial, monkeypatch):
    monkeypatch.setattr(http_download, "TIMEOUT", 0.1)
    monkeypatch.setattr(http_download, "RETRY_PAUSES", ())
    server = serve(lambda connection: server.end.wait(20))
    assert fault(server.url, partial) == "could not be downloaded: the connection broke (timed out)"


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:99999/x", "http://a..b/x", "http://nowhere.invalid/x"])
def test_an_address_of_nothing_is_one_sentence(partial, url):
    assert fault(url, partial).startswith("could not be downloaded: ")


# ---- the disk


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege, and files have no size limit")
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe"])
def test_what_lies_at_the_name_of_the_part_is_not_written_to(serve, partial, tmp_path, kind):
    victim = tmp_path / "victim"
    if kind == "pipe":
        os.mkfifo(partial)
    else:
        partial.symlink_to(victim)
    if kind == "link":
        victim.write_bytes(b"precious")
    server = serve(answer())
    receive(server.url, partial, SIZES, progress=False)
    assert partial.is_file()
    assert not partial.is_symlink()
    assert partial.read_bytes() == CONTENT
    assert victim.read_bytes() == b"precious" if kind == "link" else not victim.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege")
def test_a_link_that_appears_later_is_not_followed(serve, partial, tmp_path):
    """Between the look at the part and the first byte."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")

    def swap(connection: socket.socket) -> None:
        partial.symlink_to(victim)
        connection.sendall(answer())

    server = serve(swap)
    with pytest.raises(OSError, match="symbolic links"):
        receive(server.url, partial, SIZES, progress=False)
    assert victim.read_bytes() == b"precious"


@pytest.mark.skipif(sys.platform == "win32", reason="files have no size limit")
def test_a_disk_without_space_is_no_fault_of_the_network(serve, partial):
    import resource

    server = serve(answer())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            receive(server.url, partial, SIZES, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(server.requests) == 1
    receive(serve(part(100_000)).url, partial, SIZES, progress=False)  # what fitted is kept
    assert partial.read_bytes() == CONTENT


# ---- certificates


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(serve, authority) -> Server:
    """A server with a certificate by an authority that this system does not know."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return serve(answer(), tls=context)


def test_an_unknown_authority_is_explained_at_once(secure, partial, monkeypatch):
    partial.write_bytes(CONTENT[:10])
    text = fault(secure.url, partial)
    assert text.startswith("could not be downloaded: its certificate is not trusted (")
    assert text.endswith("add the proxy's root certificate to the system, or set SSL_CERT_FILE to its PEM file")
    assert secure.requests == []


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_an_authority_that_is_named_is_trusted(secure, authority, partial, tmp_path, monkeypatch, variable):
    authority.cert_pem.write_to_path(str(tmp_path / "company.pem"))
    monkeypatch.setenv(variable, str(tmp_path / "company.pem"))
    receive(secure.url, partial, SIZES, progress=False)
    assert partial.read_bytes() == CONTENT


def test_a_certificate_of_another_host_is_refused(serve, authority, partial, tmp_path, monkeypatch):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "company.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "company.pem"))
    server = serve(answer(), tls=context)
    assert "its certificate is not trusted" in fault(server.url, partial)
    assert server.requests == []


def test_certificates_that_are_not_there_are_named(secure, partial, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    assert fault(secure.url, partial).endswith(f"SSL_CERT_FILE is set to {tmp_path / 'gone.pem'}, which does not exist")
    (tmp_path / "text.pem").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "text.pem"))
    assert fault(secure.url, partial).startswith("could not be downloaded: ")


def test_plain_http_at_a_port_of_https_is_one_sentence(serve, partial):
    server = serve(answer())
    assert "the server cannot be reached (" in fault(server.url.replace("http:", "https:"), partial)


def test_a_company_proxy_is_used_and_its_certificate_checked(secure, serve, authority, partial, tmp_path, monkeypatch):
    """One that only passes bytes on; those that open the connection differ by the certificate alone."""

    def pass_on(client: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", secure.port)) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=copy, args=(server, client))
            back.start()
            copy(client, server)
            back.join()

    def copy(src: socket.socket, dst: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := src.recv(65536):
                dst.sendall(data)
            dst.shutdown(socket.SHUT_WR)

    proxy = serve(pass_on)
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
    assert "certificate is not trusted" in fault(secure.url, partial)
    authority.cert_pem.write_to_path(str(tmp_path / "company.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "company.pem"))
    receive(secure.url, partial, SIZES, progress=False)
    assert partial.read_bytes() == CONTENT
    assert [head.split()[0] for head in proxy.requests] == ["CONNECT", "CONNECT"]


def test_a_proxy_that_is_not_there_is_told(secure, partial, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
    assert "the server cannot be reached (Connection refused)" in fault(secure.url, partial)


def test_ssl_stays_as_it_is_for_the_rest_of_the_process(secure, partial):
    fault(secure.url, partial)
    assert ssl.SSLContext.__module__ == "ssl"
    assert isinstance(ssl.create_default_context(), ssl.SSLContext)
