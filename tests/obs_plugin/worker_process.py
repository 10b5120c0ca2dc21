"""A worker as a process, filters that send it pictures, and the alpha that a session computes for them."""

# T frames, H, W

import subprocess
import sys
from pathlib import Path

import filter_side
import numpy as np
import rvm_environment
import rvm_frame_protocol as protocol
import torch
from patience import PATIENCE, wait_for
from rvm_studio.core import MattingSession
from rvm_studio.core.engines import build, choose
from rvm_studio.core.pictures.edges import refine_edges
from rvm_studio.core.pictures.pixel_format import quantise

HELD_WORKER = Path(__file__).with_name("held_worker.py")
SLOTS = 3
CPU = torch.device("cpu")


class Gate:
    """Lets through what held_worker.py holds."""

    def __init__(self, path: Path):
        self.path = path
        path.write_bytes(b"")

    def open(self) -> None:
        """Lets one more through."""
        with self.path.open("ab") as file:
            file.write(b".")

    @property
    def held(self) -> int:
        """How many have been held so far, including the one that is held now."""
        path = self.path.with_name(self.path.name + ".held")
        return path.stat().st_size if path.exists() else 0


class Worker:
    """A worker process and the arena it serves. held: "loading" or "matting", where `gate` holds it."""

    def __init__(self, folder: Path, python=sys.executable, slots=SLOTS, held="", **variables):
        self.arena, self._folder, self._python, self._variables = (
            protocol.Arena.create(slots),
            folder,
            python,
            variables,
        )
        self._held, self.gate = held, Gate(folder / "gate")
        self.start()

    def start(self):
        argv, env, options = rvm_environment.worker_command(self._python, self.arena.prepare_worker())
        self.state_at_start = self.state
        if self._held:
            argv = [*argv[:2], str(HELD_WORKER), self._held, str(self.gate.path), argv[-1]]
        env = {**env, "RVM_THREADS": "1", **self._variables}
        with (self._folder / "out.txt").open("w") as out, (self._folder / "err.txt").open("w") as err:
            self.process = subprocess.Popen(
                argv, env=env, stdin=subprocess.PIPE, stdout=out, stderr=err, pass_fds=self.arena.inherited, **options
            )

    @property
    def state(self):
        return self.arena.header.worker_state

    @property
    def status(self):
        return self.arena.read_status()

    def wait_until(self, state):
        wait_for(lambda: self.state == state or self.process.poll() is not None, f"state {state}")
        assert self.state == state, f"{self.status} {self.said()}"

    def said(self):
        return [(self._folder / name).read_text() for name in ("out.txt", "err.txt")]

    def leave(self) -> int:
        """Closes the worker's input. Returns its exit code."""
        self.process.stdin.close()
        return self.process.wait(PATIENCE)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.arena.close()


instances = iter(range(1, 10**6))
numbers = iter(range(1, 10**9))  # numbers of pictures, which never repeat in an arena


class Camera(filter_side.FilterSide):
    """A filter that gives its pictures times and waits for mattes."""

    def __init__(self, slot, name="camera", **settings):
        super().__init__(slot, next(instances), name)
        self.time_ns = 0
        if settings:
            self.write_settings(**settings)

    def send(self, picture: np.ndarray, epoch=1, padding=0, after=1 / 30) -> int:
        """picture: [H, W, 4]. Returns its number."""
        height, width = picture.shape[:2]
        rows = np.zeros((height, 4 * width + padding), np.uint8)
        rows[:, : 4 * width] = picture.reshape(height, 4 * width)
        self.time_ns += int(after * 1e9)
        number = next(numbers)
        self.write_picture(number, width, height, rows.tobytes(), rows.shape[1], epoch, self.time_ns)
        return number

    def matte_of(self, picture: np.ndarray, **options):
        number = self.send(picture, **options)
        mattes = wait_for(lambda: [m for m in self.read_mattes() if m.number == number], "the matte")
        assert (mattes[0].height, mattes[0].width) == picture.shape[:2]
        return mattes[0]

    def alphas_of(self, pictures, **options) -> np.ndarray:
        """[T, H, W]"""
        return np.stack(
            [np.frombuffer(self.matte_of(x, **options).alpha, np.uint8).reshape(x.shape[:2]) for x in pictures]
        )


def moving_pictures(height=57, width=90, count=5, seed=0) -> np.ndarray:
    """[T, H, W, 4] of smooth moving colours."""
    t, y, x = np.meshgrid(np.arange(count), np.linspace(0, 3, height), np.linspace(0, 4, width), indexing="ij")
    t = t + 7 * seed
    planes = [np.sin(x + t / 9), np.cos(y * 2 - t / 8), np.sin(x * y + t / 9), np.ones_like(x)]
    return np.round(127.5 * (np.stack(planes, -1) + 1)).astype(np.uint8)


def session_alphas(network, pictures, edges=None, **settings) -> np.ndarray:
    """[T, H, W] uint8: the alpha of a session, frame by frame, in the engine that is chosen here."""
    session = MattingSession(build(network, choose(CPU)), **{"scene_cut": True, **settings})
    out = torch.float32 if edges else torch.uint8
    pha = [session.matte(picture[None, ..., :3], out=out, foreground=False)[1] for picture in pictures]
    if not edges:
        return torch.cat(pha)[:, 0].numpy()
    return quantise(refine_edges(torch.cat(pha), edges), torch.uint8)[:, 0].numpy()
