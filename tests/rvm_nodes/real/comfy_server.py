"""A real ComfyUI as a child process, with this repository among its custom nodes and a folder of its own for files.

The checkout is only read: everything ComfyUI writes goes below `base`.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patience import PATIENCE

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PACK = "ComfyUI-RVM-Studio"  # dashes included: no name for a Python module
OTHER_PACK = "AAA-OtherPack"  # loaded first


@dataclass(frozen=True)
class Installation:
    """Where things are on this machine. python: an interpreter that has ComfyUI's requirements."""

    checkout: Path
    python: str
    video_helper_suite: Path | None = None

    @classmethod
    def from_environment(cls) -> "Installation | None":
        """COMFYUI_PATH, COMFYUI_PYTHON (default: this interpreter), COMFYUI_VHS_PATH; None without the first."""
        checkout = os.environ.get("COMFYUI_PATH")
        if not checkout:
            return None
        helper = os.environ.get("COMFYUI_VHS_PATH")
        python = os.environ.get("COMFYUI_PYTHON") or sys.executable
        return cls(Path(checkout).resolve(), python, Path(helper).resolve() if helper else None)

    @property
    def version(self) -> tuple[int, ...]:
        text = (self.checkout / "comfyui_version.py").read_text(encoding="utf-8")
        return tuple(int(part) for part in text.split('"')[1].split("."))


def make_base(base: Path, installation: Installation, weights: Path) -> Path:
    """A ComfyUI base folder with the pack, the pack whose names collide with ours, and the weights; returns it."""
    for name in ("custom_nodes", "input", "output", "models/rvm", "user"):
        (base / name).mkdir(parents=True, exist_ok=True)
    packs = base / "custom_nodes"
    link_folder(ROOT, packs / PACK)
    link_folder(HERE / "other_pack", packs / OTHER_PACK)
    if installation.video_helper_suite:
        link_folder(installation.video_helper_suite, packs / "ComfyUI-VideoHelperSuite")
    shutil.copyfile(weights, base / "models" / "rvm" / "rvm_mobilenetv3.safetensors")
    return base


def link_folder(source: Path, place: Path) -> None:
    """A link, or a copy where the system allows none (Windows without developer mode)."""
    try:
        place.symlink_to(source, target_is_directory=True)
    except OSError:
        shutil.copytree(source, place, ignore=shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*_cache"))


class ComfyServer:
    """Boots on entering the context, is ended on leaving it. `url`: http://127.0.0.1:PORT."""

    def __init__(self, installation: Installation, base: Path, arguments: Sequence[str] = ()):
        self.installation, self.base = installation, base
        self.log_path = base / "server.log"
        self._arguments = list(arguments)
        self._port = free_port()
        self._process: subprocess.Popen | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> "ComfyServer":
        command = [
            *(self.installation.python, str(HERE / "start_comfyui.py"), str(self.installation.checkout / "main.py")),
            *("--cpu", "--listen", "127.0.0.1", "--port", str(self._port), "--disable-auto-launch"),
            *("--base-directory", str(self.base), "--database-url", f"sqlite:///{self.base / 'comfyui.db'}"),
            *self._arguments,
        ]
        with self.log_path.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command, cwd=self.base, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process is not None
        for how, seconds in ((signal.SIGINT, 10), (signal.SIGTERM, 5), (None, 5)):
            if self._process.poll() is not None:
                return
            if how is None or os.name == "nt":
                self._process.kill()
            else:
                self._process.send_signal(how)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self, characters: int = 20_000) -> str:
        """The end of what the server has said."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")[-characters:]

    def _environment(self) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RVM_", "COMFYUI"))}
        # Weights come from the base folder only, and what is not there cannot be downloaded.
        nowhere = {"RVM_MODELS_DIR": str(self.base / "no_cache"), "RVM_MIRROR": "http://127.0.0.1:9/"}
        return {**mine, **nowhere, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError(f"ComfyUI ended with {self._process.returncode} while it started:\n{self.log()}")
            try:
                with urllib.request.urlopen(self.url + "/queue", timeout=PATIENCE):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise RuntimeError(f"ComfyUI did not answer within {PATIENCE:.0f} s:\n{self.log()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
