"""The catalogue of published weights and a download that survives broken connections. Needs no torch."""

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

STARTER_VARIANT = "mobilenetv3"  # of the bundled weights
STARTER_PATH = ASSETS / "starter_mobilenetv3.safetensors"
LOCK_POLL = 0.25  # seconds
WRAPPING = 2 << 20  # bytes: more than what a file holds beside its tensors


@dataclass(frozen=True)
class CatalogueEntry:
    """One published weights file. Nothing is ever downloaded that has no known SHA-256."""

    name: str
    variant: str
    refiner: str
    url: str
    sha256: str  # of the file behind the url
    size: int  # bytes of its tensors; the file is a little larger
    licence: str
    source: str

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    @property
    def installed_name(self) -> str:
        """Of the file in the models folder, to which what was fetched is converted."""
        return f"rvm_{self.name}.safetensors"

    @property
    def sizes(self) -> range:
        """What the file may have, in bytes."""
        return range(self.size, self.size + WRAPPING)

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


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def download(entry: CatalogueEntry, folder: Path, mirror: str | None = None, progress: bool = True) -> Path:
    """Bring the entry's file into `folder` and return its path; verified by SHA-256 before it gets its name.

    Received bytes are kept in `<file>.partial`, so a broken or cancelled download resumes where it stopped.
    mirror: base address (http, https, file) the file name is appended to, instead of the entry's own place;
        None: `RVM_MIRROR` where set.
    progress: a bar on a terminal, plain lines where stderr is none; False: silent.
    The caller holds `lock(...)` on the file. Raises DownloadError: unreachable, HTTP error, another file; StudioError:
    the folder cannot be written.
    """
    url = _address(entry, mirror)
    with _needed_packages():
        from . import http_download
    partial = entry.partial(folder)
    found = ""
    try:
        for _ in range(2):  # once more where the parts were of two files: the server's has changed in between
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
        raise http_download.FetchError(f"is another file: SHA-256 found {found}, expected {entry.sha256}")
    except http_download.FetchError as fault:
        choices = (
            "call again with a network; the variable RVM_MIRROR names another address to download from",
            f"put {entry.file_name} into {folder}, or name a weights file that you have, in the call or in RVM_WEIGHTS",
            f'bundled, rough, for {STARTER_VARIANT}: name "starter" instead of a file',
        )
        names = {"name": entry.name, "file_name": entry.file_name}
        raise DownloadError(f"{url} {fault}.", **names, folder=folder, choices=choices) from fault
    except OSError as error:
        raise _unwritable(partial, error) from error


@contextlib.contextmanager
def lock(path: Path, progress: bool = True) -> Iterator[None]:
    """Hold `<path>.lock` exclusively; another process that holds it is waited for.

    The operating system frees the lock when its holder dies, so none can be stale. Where the file system has no locks
    there is none to hold. Raises StudioError where the folder cannot be written.
    """
    with _needed_packages():
        import filelock
    held = filelock.FileLock(f"{path}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass  # on Windows a lock in a folder that cannot be written seems to be held by another
        with contextlib.suppress(NotImplementedError):
            try:
                held.acquire(timeout=0)
            except filelock.Timeout:
                if progress:
                    print(f"waiting for another process that fetches {path.name}", file=sys.stderr)
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
    """A checkout that was updated may run in an environment that was not."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = error.name or "requests"
        raise StudioError(
            f"Fetching weights needs the package {package}, which is not installed. Install it: {pip_command(package)}"
        ) from error


def _address(entry: CatalogueEntry, mirror: str | None) -> str:
    base = mirror or os.environ.get("RVM_MIRROR")
    if not base:
        return entry.url
    if urllib.parse.urlsplit(base).scheme not in ("http", "https", "file"):
        raise StudioError(
            f"The mirror {base!r} is no address: expected one that begins with https://, http:// or file://"
        )
    return f"{base.rstrip('/')}/{entry.file_name}"


def _copy(url: str, partial: Path, entry: CatalogueEntry) -> bool:
    """As http_download.receive, of a file: address."""
    from .http_download import FetchError, check_size

    parts = urllib.parse.urlsplit(url)
    host = f"//{parts.netloc}" if parts.netloc not in ("", "localhost") else ""  # of a Windows share
    source = urllib.request.url2pathname(host + parts.path)
    try:
        check_size(os.stat(source).st_size, entry.sizes)
    except OSError as error:
        raise FetchError(f"could not be downloaded: {error.strerror}") from error
    partial.unlink(missing_ok=True)
    shutil.copyfile(source, partial)
    return False
