"""Runs pip in an environment and gives advice if it fails."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from . import PYTHONS, environment, processes
from .console import InstallError, typed
from .environment import environ_for

CERTIFICATE = r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|confirming the ssl certificate"
PIP_HINTS = (
    (
        r"No space left|Errno 28|not enough space|WinError 112",
        "the disk is full: free some space, or set TMPDIR to a folder on a larger disk",
    ),
    (
        CERTIFICATE,
        "a certificate could not be verified. This happens behind a company's proxy or a virus scanner that inspects"
        " HTTPS. Set PIP_CERT (for the weights also SSL_CERT_FILE) to the file with the company's certificates (.pem)."
        " pip 24.2 and newer use the system's certificates by default, pip 23.3 to 24.1 with"
        " PIP_USE_FEATURE=truststore",
    ),
    (
        r"Failed to establish|Temporary failure in name|getaddrinfo|Connect.?Timeout|Max retries|ProxyError|"
        r"Network is unreachable|SSLError|Read timed out|Connection (broken|refused|reset|aborted)",
        "the package index cannot be reached: check the network and HTTPS_PROXY, or set PIP_INDEX_URL to a mirror",
    ),
    (
        r"Long Path support|WinError 206|[Ff]ile ?name.*too long|Errno 36",
        "a path is too long (on Windows, longer than 260 characters): move this folder to a short path such as"
        " C:\\rvm, or enable long paths in Windows (set LongPathsEnabled to 1 in the registry, under"
        " HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Control\\FileSystem)",
    ),
    (
        r"No matching distribution",
        f"there is no build for this system. RVM Studio needs 64-bit {PYTHONS}; on a Mac also Apple silicon and"
        " macOS 14, on Linux also glibc 2.28",
    ),
    (r"externally-managed", "this Python belongs to the system: run install.py in a virtual environment"),
    (r"Permission denied|Access is denied|WinError (5|32)", "no permission, or a file is in use (ComfyUI, OBS?)"),
)


def pip_install(python: Path, *arguments: str) -> None:
    """Runs `pip install`, printing only large downloads, and pip's last lines if it fails. Raises InstallError."""
    ensure_pip(python)
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments]
    code, lines = processes.run_quietly(
        command, environ_for(python), show=r"Downloading (?:\S*/)?(\S+ \(\d+\.\d+ [MG]B\))"
    )
    if code != 0:
        print("\n".join("      | " + line for line in lines[-20:]), file=sys.stderr)
        failed = typed(str(python), "-m", "pip", "install", *arguments)
        raise InstallError(f"{failed} failed{hint(lines)}. Then run install.py again.")


def ensure_pip(python: Path) -> None:
    if (environment.identify(python) or {"pip": True})["pip"]:
        return
    code, lines = processes.run_quietly([str(python), "-m", "ensurepip", "--upgrade"], environ_for(python))
    if code != 0:
        raise InstallError(f"{python} has no pip, and ensurepip failed ({lines[-1]}). Install pip for it first.")


def hint(lines: list) -> str:
    text = "\n".join(lines)
    return next((f". Likely reason: {advice}" for pattern, advice in PIP_HINTS if re.search(pattern, text)), "")


def versions(python: Path, package: str, *options: str) -> tuple:
    """(the versions that pip finds for this Python, why the index could not be read or "").

    Uses pip itself, so that its proxies, certificates and mirrors apply.
    """
    ensure_pip(python)  # the environment may have been made by another tool (uv) or be damaged
    command = [str(python), "-m", "pip", "index", "versions", package, "-vv", "--disable-pip-version-check"]
    command += ["--no-input", "--timeout", "5", "--retries", "0", *options]
    _, lines = processes.run_quietly(command, environ_for(python), keep=r"^Available versions|^Could not fetch URL")
    text = "\n".join(lines)
    found = re.search(r"^Available versions: (.+)$", text, re.MULTILINE)
    failure = re.search(rf"^Could not fetch URL \S*/{package}/: (.+?)(?: - skipping)?$", text, re.MULTILINE)
    return re.split(r",\s*", found.group(1)) if found else [], reason(failure.group(1)) if failure else ""


def reason(failure: str) -> str:
    """pip's reason for not reading an index, shortened."""
    if re.search(CERTIFICATE, failure):
        return "its certificate could not be verified"
    if re.search(r"Name or service not known|Temporary failure in name|getaddrinfo|nodename nor servname", failure):
        return "its host name was not found"
    if re.search(r"timed out", failure, re.IGNORECASE):
        return "it does not answer"
    return re.sub(r"<[^>]*>:? ?", "", failure.rpartition("Caused by ")[2] or failure).strip(" ()")


def cache_folder(python: Path) -> Path | None:
    """The folder of pip's download cache, or None if it has none."""
    code, lines = processes.run_quietly([str(python), "-m", "pip", "cache", "dir"], environ_for(python))
    folder = Path(lines[-1])
    return folder if code == 0 and folder.is_absolute() else None
