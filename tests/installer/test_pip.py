"""pip that fails."""

import contextlib
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rvm_studio.installer import console, pip


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError: Failed to establish a new connection\nERROR: No matching distribution found", "network"),
        ("ERROR: No matching distribution found for torch==2.13.0", "64-bit Python 3.10 to 3.14"),
        (
            "Could not fetch URL https://pypi.org/simple/av/: There was a problem confirming the ssl certificate:"
            " Max retries exceeded\nERROR: No matching distribution found for av",
            "Set PIP_CERT",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 2] No such file or directory: 'C:\\\\x'\n"
            "HINT: This error might have occurred since this system does not have Windows Long Path support enabled.",
            "LongPathsEnabled",
        ),
        ("error: externally-managed-environment", "belongs to the system"),
        ("[WinError 5] Access is denied: 'c10.dll'", "in use"),
    ],
)
def test_pips_failures_get_advice(output, reason):
    assert reason in pip.hint(output.splitlines())


def test_a_failing_pip_ends_the_run_with_its_last_lines(monkeypatch, capsys):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(console.InstallError, match=r"64-bit Python 3.10 to 3.14.*Then run install.py again"):
        pip.pip_install(Path(sys.executable), "no-such-thing-as-this==1.0")
    assert "no-such-thing-as-this" in capsys.readouterr().err


# ---- what pip finds, asked of the real one


@pytest.fixture
def plain_pip(monkeypatch):
    """pip without this machine's settings."""
    for name in os.environ:
        if name.startswith("PIP_") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("NO_PROXY", "localhost")
    return Path(sys.executable)


@contextlib.contextmanager
def web_server(page: str = "", status: int = 200, context: ssl.SSLContext | None = None):
    """Address of a local server that answers everything with this."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http{'s' if context else ''}://localhost:{server.server_port}/whl"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_an_index_has_for_this_python(plain_pip):
    names = ("torch-2.13.0+cpu-py3-none-any", "torch-2.14.0+cpu-py3-none-any", "torch-2.12.0+cpu-cp27-cp27m-win32")
    page = "".join(f'<a href="{name}.whl">{name}.whl</a>' for name in names)
    with web_server(f"<!DOCTYPE html><html><body>{page}</body></html>") as address:
        assert pip.versions(plain_pip, "torch", "--index-url", address) == (["2.14.0+cpu", "2.13.0+cpu"], "")


def test_an_environment_without_pip_gets_one(plain_pip, bare_venv, tmp_path):
    """As uv makes them."""
    python = bare_venv(tmp_path / "env")
    with web_server('<a href="torch-2.13.0-py3-none-any.whl">torch-2.13.0-py3-none-any.whl</a>') as address:
        assert pip.versions(python, "torch", "--index-url", address) == (["2.13.0"], "")


def test_why_an_index_cannot_be_read(plain_pip):
    with web_server(status=403) as address:
        assert pip.versions(plain_pip, "torch", "--index-url", address) == (
            [],
            f"403 Client Error: Forbidden for url: {address}/torch/",
        )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    found, why = pip.versions(plain_pip, "torch", "--index-url", f"http://127.0.0.1:{port}/whl")
    assert found == []
    assert "Connection refused" in why or "actively refused" in why


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_a_certificate_that_nobody_vouches_for(plain_pip, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    page = '<a href="torch-2.13.0-py3-none-any.whl">torch-2.13.0-py3-none-any.whl</a>'
    with web_server(page, context=context) as address:
        index = ["--index-url", address]
        assert pip.versions(plain_pip, "torch", *index) == ([], "its certificate could not be verified")
        with pytest.raises(console.InstallError, match="Set PIP_CERT"):
            pip.pip_install(plain_pip, "nothing-like-it", "--retries", "0", *index)
        assert pip.versions(plain_pip, "torch", "--cert", str(certificate), *index)[0] == ["2.13.0"]


@pytest.mark.parametrize(
    ("failure", "short"),
    [
        (
            "connection error: HTTPSConnectionPool(host='x', port=443): Max retries exceeded with url: /whl/cpu/torch/ "
            "(Caused by NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f>: Failed to "
            "establish a new connection: [Errno -2] Name or service not known'))",
            "its host name was not found",
        ),
        (
            "connection error: HTTPSConnectionPool(host='x', port=443): Max retries exceeded (Caused by ConnectTimeout"
            "Error(<x>, 'Connection to x timed out. (connect timeout=5.0)'))",
            "it does not answer",
        ),
    ],
)
def test_pips_reasons_are_shortened(failure, short):
    assert pip.reason(failure) == short


def test_pips_cache_is_found_where_there_is_one(plain_pip, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
    assert pip.cache_folder(plain_pip) == tmp_path / "cache"
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    assert pip.cache_folder(plain_pip) is None
