"""Downloads a file from an HTTP server and resumes an interrupted download. Independent of weights.

requests handles proxies (including those set in Windows and macOS), redirects, encodings and broken connections.
truststore adds the certificates that the system trusts, including a company proxy's own, for this session only: `ssl`
is unchanged for the rest of the process. The certificates that come with requests (certifi) are trusted too, for
systems without certificates, such as small containers.
"""

import os
import re
import ssl
import stat
import sys
import time
from pathlib import Path
from typing import IO, Any

import requests
import truststore
from requests import exceptions
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.exceptions import HTTPError, MaxRetryError

CHUNK = 1 << 16  # bytes read at once
TIMEOUT = 30  # seconds without receiving a byte
RETRY_PAUSES = (1, 2, 4, 8)  # seconds before each retry; attempts that received new bytes do not count
SECONDS_BETWEEN_LINES = 10
BUSY = (408, 429)  # temporary statuses, besides those from 500 on
_UNREACHED = (exceptions.ConnectTimeout, exceptions.ProxyError, exceptions.SSLError)
_PASSING = (
    exceptions.ConnectionError,
    exceptions.Timeout,
    HTTPError,
)  # the last is from urllib3, reading a body


class FetchError(Exception):
    """A failed download; the text follows a URL in messages. reached: a server answered. passing: a retry may help."""

    def __init__(self, text: str, reached: bool = True, passing: bool = False):
        super().__init__(text)
        self.reached, self.passing = reached, passing


def receive(url: str, partial: Path, sizes: range, progress: bool = True) -> bool:
    """Completes `partial`, which contains the bytes of earlier attempts. Returns whether it joins several responses.

    sizes: the possible sizes of the file. More bytes are never received; if the server does not state the size, fewer
    bytes count as incomplete. progress: show a bar on a terminal, lines elsewhere. Raises FetchError, or OSError if
    `partial` cannot be written.
    """
    start = have = most = received_bytes(partial, sizes)
    failures = 0
    with _session(url) as session:
        while True:
            try:
                headers = {"Range": f"bytes={have}-"} if have else {}
                with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
                    return _write(response, partial, have, sizes, progress)
            except FetchError as error:
                fault = error
            except (
                exceptions.RequestException,
                HTTPError,
                ValueError,
            ) as error:  # the last one: redirected to an invalid URL
                fault = _explained(error)
            have = received_bytes(partial, sizes)
            failures = 0 if have > most else failures + 1
            most = max(most, have)
            # A server that was never reached: the machine is offline, or the URL is wrong. Retries would only delay the
            # error.
            if not fault.passing or not (fault.reached or have > start) or failures > len(RETRY_PAUSES):
                raise fault
            time.sleep(RETRY_PAUSES[max(failures - 1, 0)])


def received_bytes(partial: Path, sizes: range) -> int:
    """The number of bytes received so far. A file that cannot be part of it (too large, a link) is removed."""
    try:
        found = partial.lstat()
    except FileNotFoundError:
        return 0
    if stat.S_ISREG(found.st_mode) and found.st_size < sizes.stop:
        return found.st_size
    partial.unlink()
    return 0


def check_size(size: int, sizes: range) -> None:
    """Raises FetchError for a file of this size in bytes that is too large."""
    if size >= sizes.stop:
        raise FetchError(
            f"is not the expected file: it has at least {size / 1e6:.1f} MB, expected {sizes.start / 1e6:.1f} MB"
        )


def _session(url: str) -> requests.Session:
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if url.startswith("https:") else ():
        if (path := os.environ.get(variable)) and not os.path.exists(path):
            raise FetchError(f"could not be downloaded: {variable} is set to {path}, which does not exist")
    session = requests.Session()
    session.verify = os.environ.get("SSL_CERT_FILE") or True  # the verification of Windows and macOS does not read it
    session.headers.update({"User-Agent": "rvm-studio", "Accept-Encoding": "identity"})
    session.mount("https://", _SystemCertificates())
    return session


class _SystemCertificates(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, ssl_context=truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return super().proxy_manager_for(proxy, **options, ssl_context=context)


def _write(response: requests.Response, partial: Path, have: int, sizes: range, progress: bool) -> bool:
    """Appends a response to the `have` existing bytes. Returns whether these are part of the result."""
    status, headers = response.status_code, response.headers
    if status == 416 and headers.get("Content-Range") == f"bytes */{have}":
        return True  # complete: the earlier attempt ended between the last byte and the rename
    if status not in (200, 206, 416):
        passing = status in BUSY or status >= 500
        raise FetchError(f"could not be downloaded: the server answered {status} {response.reason}", passing=passing)
    if headers.get("Content-Type", "").startswith("text/html"):
        raise FetchError("could not be downloaded: the server answered with a web page, perhaps a login page")
    encoded = headers.get("Content-Encoding", "identity").lower() != "identity"
    start, total = 0, _number(headers.get("Content-Length"))
    if status != 200:
        part = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", headers.get("Content-Range", ""))
        if part is None or int(part[1]) != have or encoded:
            partial.unlink(missing_ok=True)
            raise FetchError("could not be downloaded: the server sent a different part than requested", passing=True)
        start, total = have, _number(part[2])
    if encoded:
        total = None  # the decoded bytes are counted, which are more
    check_size(total or 0, sizes)
    response.raw.enforce_content_length = False  # only some releases of urllib3 do; it is checked below
    with _opened(partial, "ab" if start else "wb") as file, _Progress(partial.stem, start, total, progress) as bar:
        while chunk := response.raw.read(CHUNK, decode_content=encoded):
            if bar.done + len(chunk) >= sizes.stop:
                break
            file.write(chunk)
            bar.advance(len(chunk))
    if chunk:
        partial.unlink()
        check_size(bar.done + len(chunk), sizes)
    expected = sizes.start if total is None else total
    if bar.done < expected:
        came = f"received {bar.done} of {'at least ' if total is None else ''}{expected} bytes"
        raise FetchError(f"could not be downloaded: the connection broke ({came})", passing=True)
    return start > 0


def _opened(partial: Path, mode: str) -> IO[bytes]:
    """Opens a file for writing, without following a symbolic link."""
    no_link = getattr(os, "O_NOFOLLOW", 0)  # not on Windows, where creating links needs a privilege
    return open(partial, mode, opener=lambda name, flags: os.open(name, flags | no_link, 0o666))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,18}", text) else None


def _explained(error: BaseException) -> FetchError:
    """Explains an exception of a request or of reading its response."""
    root = _root(error)
    reason = (root.strerror if isinstance(root, OSError) else None) or str(root) or type(root).__name__
    reason = " ".join(reason.split())  # it may contain a server's text
    if isinstance(root, ssl.SSLCertVerificationError):
        return FetchError(
            f"could not be downloaded: its certificate is not trusted ({root.verify_message}); behind a company's "
            "proxy, add the proxy's root certificate to the system, or set SSL_CERT_FILE to its PEM file",
            reached=False,
        )
    if isinstance(error, _UNREACHED) or isinstance(next(iter(error.args), None), MaxRetryError):
        return FetchError(
            f"could not be downloaded: the server cannot be reached ({reason})", reached=False, passing=True
        )
    passing = isinstance(error, _PASSING)
    what = "the connection broke" if passing else "the request failed"
    return FetchError(f"could not be downloaded: {what} ({reason})", passing=passing)


def _root(error: BaseException) -> BaseException:
    """The original error inside the wrappers of requests and urllib3."""
    inside = (error.__cause__, error.__context__, getattr(error, "reason", None), *error.args)
    inner = next((x for x in inside if isinstance(x, BaseException)), None)
    return error if inner is None else _root(inner)


class _Progress:
    """Shows a bar on a terminal; elsewhere a line at the start, every few seconds, and at the end."""

    def __init__(self, label: str, done: int, total: int | None, shown: bool):
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self.label, self.done, self.total, self.plain = label, done, total, shown and not terminal
        units = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
        self.bar = tqdm(total=total, initial=done, desc=label, disable=not (shown and terminal), **units)

    def advance(self, count: int) -> None:
        self.done += count
        self.bar.update(count)
        if self.plain and time.monotonic() - self.said > SECONDS_BETWEEN_LINES:
            self._say()

    def _say(self) -> None:
        self.said = time.monotonic()
        of = f" of {self.total / 1e6:.1f}" if self.total else ""
        print(f"{self.label}: {self.done / 1e6:.1f}{of} MB", file=sys.stderr)

    def __enter__(self) -> "_Progress":
        if self.plain:
            self._say()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
        if self.plain:
            self._say()
