"""The catalogue of published weights and a download that survives broken connections. Needs no torch."""

import contextlib
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from .errors import DownloadError, StudioError

CHUNK = 1 << 18  # bytes read at once
TIMEOUT = 30  # seconds without a byte
RETRY_PAUSES = (1, 2, 4, 8)  # seconds before each retry; tries that brought new bytes do not count
LOCK_POLL = 0.25  # seconds


@dataclass(frozen=True)
class CatalogueEntry:
    """One published weights file. Nothing is ever downloaded that has no known SHA-256."""

    name: str
    variant: str
    refiner: str
    url: str
    sha256: str  # of the file behind the url
    size: int | None  # bytes of its tensors (the file is a little larger), to tell people what to expect
    licence: str
    source: str

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    @property
    def installed_name(self) -> str:
        """Of the file in the models folder, to which what was fetched is converted."""
        return f"rvm_{self.name}.safetensors"

    def partial(self, folder: Path) -> Path:
        """Where the bytes lie that have been received so far."""
        return folder / f"{self.file_name}.partial"


def _official(variant: str, sha256: str, size: int) -> CatalogueEntry:
    return CatalogueEntry(
        name=variant,
        variant=variant,
        refiner="deep_guided_filter",
        url=f"https://github.com/PeterL1n/RobustVideoMatting/releases/download/v1.0.0/rvm_{variant}.pth",
        sha256=sha256,
        size=size,
        licence="GPL-3.0",
        source="PeterL1n/RobustVideoMatting, release v1.0.0",
    )


CATALOGUE: dict[str, CatalogueEntry] = {
    entry.name: entry
    for entry in (
        _official("mobilenetv3", "3c7c1d92033f7c38d6577c481d13a195d7d80a159b960f4f3119ac7b534cf4f8", 3_748_633 * 4),
        _official("resnet50", "c191a807251164c073dce5fa408e7a816070d539b882b2a3150330a9fec112ce", 26_890_461 * 4),
    )
}


def models_dir() -> Path:
    """Where downloaded weights live: `RVM_MODELS_DIR`, else rvm-studio/models in the user's cache folder."""
    if chosen := os.environ.get("RVM_MODELS_DIR"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "rvm-studio" / "models"


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    _add_file(digest, path)
    return digest.hexdigest()


def download(entry: CatalogueEntry, folder: Path, mirror: str | None = None, progress: bool = True) -> Path:
    """Bring the entry's file into `folder` and return its path; verified by SHA-256 before it gets its name.

    Received bytes are kept in `<file>.partial`, so a broken or cancelled download goes on where it stopped.
    mirror: base address (http, https, file) the file name is appended to, instead of the entry's own place;
        None: `RVM_MIRROR` where set.
    progress: a bar on a terminal, plain lines where stderr is none; False: silent.
    The caller holds `lock(...)` on the file. Raises DownloadError: unreachable, HTTP error; StudioError: wrong hash,
    unwritable.
    """
    url = _address(entry, mirror)
    target = folder / entry.file_name
    partial = entry.partial(folder)
    hints = by_hand(entry, folder)
    start = received = _size(partial)
    failures = 0
    while True:
        try:
            digest = _receive(url, partial, entry.file_name, progress)
            break
        except urllib.error.HTTPError as error:
            error.close()
            problem = f"the server answered {error.code} {error.reason}"
            transient = error.code in (408, 429) or error.code >= 500
        except urllib.error.URLError as error:
            problem = f"it cannot be reached ({error.reason})"
            transient = received > start  # it was reached a moment ago; else offline or a wrong address
        except _BROKEN as error:
            problem = f"the connection broke ({error or type(error).__name__})"
            transient = True
        except OSError as error:
            raise StudioError(f"{partial} cannot be written ({error}). {_OTHER_FOLDER}") from error
        failures = 0 if _size(partial) > received else failures + 1
        received = max(received, _size(partial))
        if not transient or failures > len(RETRY_PAUSES):
            raise DownloadError(f"{url} could not be downloaded: {problem}. {hints}")
        time.sleep(RETRY_PAUSES[max(failures - 1, 0)])
    if digest != entry.sha256:
        partial.unlink()
        raise StudioError(
            f"{url} is not the expected file: SHA-256 found {digest}, expected {entry.sha256}. It was deleted; "
            f"try again, or name another place with --mirror URL (or RVM_MIRROR). {hints}"
        )
    os.replace(partial, target)
    return target


def by_hand(entry: CatalogueEntry, folder: Path) -> str:
    """What to do where the download does not work."""
    return (
        f"By hand: bring {entry.url} with a browser and put it into {folder} as {entry.file_name}; "
        f"or use a file you have with --weights PATH or RVM_WEIGHTS; "
        f"or give a base address that holds {entry.file_name} with --mirror URL or RVM_MIRROR."
    )


@contextlib.contextmanager
def lock(path: Path, progress: bool = True) -> Iterator[None]:
    """Hold `<path>.lock` exclusively; another process that holds it is waited for.

    The operating system frees the lock when its holder dies, so none can be stale. The empty file stays:
    deleting it would let two processes hold "the" lock through two files of one name.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(f"{path}.lock", "ab")  # noqa: SIM115  closed below
    except OSError as error:
        raise StudioError(f"{path.parent} cannot be written ({error}). {_OTHER_FOLDER}") from error
    with file:
        waiting = False
        while not _try_lock(file.fileno()):
            if progress and not waiting:
                print(f"waiting for another process that fetches {path.name}", file=sys.stderr)
            waiting = True
            time.sleep(LOCK_POLL)
        yield  # closing the file frees the lock


_OTHER_FOLDER = "Free some space or make it writable, or choose another folder with RVM_MODELS_DIR."


class _CutShortError(Exception):
    pass


_BROKEN = (_CutShortError, http.client.HTTPException, ConnectionError, TimeoutError)


def _address(entry: CatalogueEntry, mirror: str | None) -> str:
    base = mirror or os.environ.get("RVM_MIRROR")
    if not base:
        return entry.url
    if urllib.parse.urlsplit(base).scheme not in ("http", "https", "file"):
        raise StudioError(
            f"mirror {base!r} is no address: expected a base URL beginning with https://, http:// or file://"
        )
    return f"{base.rstrip('/')}/{entry.file_name}"


def _receive(url: str, partial: Path, label: str, progress: bool) -> str:
    """One try: append what is missing to `partial`; returns the SHA-256 of the whole."""
    have = _size(partial)
    request = urllib.request.Request(url, headers={"User-Agent": "rvm-studio"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        error.close()
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return sha256_of(partial)  # nothing is missing: it was cut between the last byte and the renaming
        partial.unlink()  # longer than the file behind the url: of something else
        raise _CutShortError("the part received before does not fit the file") from error
    with response:
        if have and not _goes_on_at(response, have):
            have = 0  # the server ignores Range and sends everything again
        digest = hashlib.sha256()
        if have:
            _add_file(digest, partial)
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with open(partial, "ab" if have else "wb") as file, _Progress(label, have, total, progress) as bar:
            while chunk := _read(response):
                file.write(chunk)
                digest.update(chunk)
                bar.advance(len(chunk))
        if total is not None and bar.done < total:
            raise _CutShortError(f"{bar.done} of {total} bytes came")
    return digest.hexdigest()


def _goes_on_at(response: Any, have: int) -> bool:
    return response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-")


def _read(response: Any) -> bytes:
    try:
        return response.read(CHUNK)
    except OSError as error:  # of the connection, not to be mistaken for one of the disk
        raise _CutShortError(str(error)) from error


class _Progress:
    """A bar on a terminal; elsewhere a line at the start, every ten seconds and at the end."""

    def __init__(self, label: str, done: int, total: int | None, shown: bool):
        self.label, self.done, self.total = label, done, total
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self.plain = shown and not terminal
        self.bar = tqdm(
            total=total,
            initial=done,
            desc=label,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            disable=not (shown and terminal),
        )
        self.said = time.monotonic()

    def advance(self, count: int) -> None:
        self.done += count
        self.bar.update(count)
        if self.plain and time.monotonic() - self.said > 10:
            self._say()

    def _say(self) -> None:
        self.said = time.monotonic()
        of = f" of {self.total / 1e6:.1f}" if self.total else ""
        print(f"{self.label}: {self.done / 1e6:.1f}{of} MB", file=sys.stderr)

    def __enter__(self) -> "_Progress":
        if self.plain:
            self._say()
        return self

    def __exit__(self, *_) -> None:
        self.bar.close()
        if self.plain:
            self._say()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _add_file(digest: Any, path: Path) -> None:
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        except OSError:
            return True  # a file system without locks: go on without
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True  # a file system without locks (some network ones): go on without
        return True
