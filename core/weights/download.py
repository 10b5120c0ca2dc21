"""The catalogue of published weights, and downloads that resume after broken connections. Does not import torch."""

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import DownloadError, StudioError
from ..machine.cache_folder import models_dir
from ..machine.install_advice import pip_command
from ..machine.root import ASSETS

STARTER_VARIANT = "mobilenetv3"
"""The variant of the bundled starter weights."""

STARTER_PATH = ASSETS / "starter_mobilenetv3.safetensors"
"""The file of the bundled starter weights."""

LOCK_POLL = 0.25  # seconds
WRAPPING = 2 << 20  # bytes: upper limit of what a file contains besides its tensors


@dataclass(frozen=True)
class CatalogueEntry:
    """One published weights file. Only files with a known SHA-256 are downloaded."""

    name: str
    variant: str
    refiner: str
    url: str
    sha256: str  # of the file at the URL
    size: int  # bytes of its tensors; the file is a little larger
    licence: str
    source: str

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    @property
    def installed_name(self) -> str:
        """The name of the converted file in the models folder."""
        return f"rvm_{self.name}.safetensors"

    @property
    def sizes(self) -> range:
        """The possible sizes of the file, in bytes."""
        return range(self.size, self.size + WRAPPING)

    def partial(self, folder: Path) -> Path:
        """The file with the bytes received so far."""
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
"""The published weights, by name."""


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def download(entry: CatalogueEntry, folder: Path, mirror: str | None = None, progress: bool = True) -> Path:
    """Downloads the entry's file into `folder` and returns its path. The SHA-256 is verified before the final rename.

    Received bytes are kept in `<file>.partial`, so that a broken or cancelled download can be resumed.
    mirror: base URL (http, https, file) to which the file name is appended, instead of the entry's own URL; None:
        `RVM_MIRROR` if set.
    progress: show a bar on a terminal, plain lines elsewhere; False: silent.
    The caller must hold `lock(...)` on the file. Raises DownloadError if the server cannot be reached, answers with an
    error or has another file; StudioError if the folder cannot be written.
    """
    url = _address(entry, mirror)
    with _needed_packages():
        from . import http_download
    partial = entry.partial(folder)
    found = ""
    try:
        for _ in range(2):  # again if the parts belong to two files, because the server's file has changed
            if url.startswith("file:"):
                resumed = _copy(url, partial, entry)
            else:
                resumed = http_download.receive(url, partial, entry.sizes, progress)
            found = sha256_of(partial)
            if found == entry.sha256:
                return partial.replace(folder / entry.file_name)
            partial.unlink()
            if not resumed:
                break
        raise http_download.FetchError(f"is not the expected file: its SHA-256 is {found}, expected {entry.sha256}")
    except http_download.FetchError as fault:
        choices = (
            "call again when you are online; the variable RVM_MIRROR sets another address to download from",
            f"put {entry.file_name} into {folder}, or pass the path of a weights file, in the call or in RVM_WEIGHTS",
            f'for a rough matte, use the bundled {STARTER_VARIANT} weights: pass "starter" instead of a path',
        )
        names = {"name": entry.name, "file_name": entry.file_name}
        raise DownloadError(f"{url} {fault}.", **names, folder=folder, choices=choices) from fault
    except OSError as error:
        raise _unwritable(partial, error) from error


@contextlib.contextmanager
def lock(path: Path, progress: bool = True) -> Iterator[None]:
    """A context that holds `<path>.lock` exclusively; waits for another process that holds it.

    The operating system releases the lock when its holder dies, so locks cannot become stale. On a file system without
    locks, nothing is locked. Raises StudioError if the folder cannot be written.
    """
    with _needed_packages():
        import filelock
    held = filelock.FileLock(f"{path}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass  # on Windows, a lock in a read-only folder looks as if another process held it
        with contextlib.suppress(NotImplementedError):
            try:
                held.acquire(timeout=0)
            except filelock.Timeout:
                if progress:
                    print(f"waiting for another process that is downloading {path.name}", file=sys.stderr)
                held.acquire(poll_interval=LOCK_POLL)
    except OSError as error:
        raise _unwritable(path.parent, error) from error
    try:
        yield
    finally:
        held.release()


def _unwritable(path: Path, error: OSError) -> StudioError:
    other = ", or choose another folder with RVM_MODELS_DIR" if models_dir() in (path, path.parent) else ""
    reason = error.strerror or error
    return StudioError(f"{path} cannot be written ({reason}). Free some space or make it writable{other}.")


@contextlib.contextmanager
def _needed_packages() -> Iterator[None]:
    """Explains a missing package: a checkout may have been updated without its environment."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = error.name or "requests"
        raise StudioError(
            f"Downloading weights needs the package {package}, which is not installed. Install it: "
            f"{pip_command(package)}"
        ) from error


def _address(entry: CatalogueEntry, mirror: str | None) -> str:
    base = mirror or os.environ.get("RVM_MIRROR")
    if not base:
        return entry.url
    if urllib.parse.urlsplit(base).scheme not in ("http", "https", "file"):
        raise StudioError(
            f"The mirror {base!r} is not a URL: expected one that begins with https://, http:// or file://"
        )
    return f"{base.rstrip('/')}/{entry.file_name}"


def _copy(url: str, partial: Path, entry: CatalogueEntry) -> bool:
    """Like http_download.receive, for a file: URL."""
    from .http_download import FetchError, check_size

    parts = urllib.parse.urlsplit(url)
    host = f"//{parts.netloc}" if parts.netloc not in ("", "localhost") else ""  # a Windows share
    source = urllib.request.url2pathname(host + parts.path)
    try:
        check_size(os.stat(source).st_size, entry.sizes)
    except OSError as error:
        raise FetchError(f"could not be downloaded: {error.strerror}") from error
    partial.unlink(missing_ok=True)
    shutil.copyfile(source, partial)
    return False
