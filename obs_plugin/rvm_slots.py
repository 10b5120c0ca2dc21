"""Computes the mattes in the worker, for every filter that has a slot in the arena.

The filters take turns: each time, a filter's newest picture is matted. If one filter fails, the error is shown in the
status, the others continue, and that filter is tried again after a pause. Only the loss of the GPU ends the worker.
"""

import collections
import os
import sys
import time
import traceback
from typing import Any

import numpy as np
import rvm_frame_protocol as protocol
import torch
from rvm_studio.core import (
    DOWNLOAD_RETRY,
    STARTER_PATH,
    DownloadError,
    EdgeOptions,
    LiveMatte,
    LiveSettings,
    LiveStream,
    SharedEngines,
    StudioError,
    describe_device,
    find_weights,
    installer_command,
    load_network,
    models_dir,
    release_cached_memory,
    weights_are_here,
)

LOOK, REST = 0.001, 0.02  # seconds between two checks for pictures, with and without filters
REPORT_INTERVAL = 0.1  # seconds between two updates of the panel
PAUSE = 1.0  # seconds before a filter is tried again after an error
RATE_SPAN = 2.0  # seconds over which mattes are counted


class Place:
    """A slot and the filter that uses it, if any."""

    def __init__(self, slot: protocol.Slot, engines: SharedEngines):
        self.slot, self._engines = slot, engines
        self.begin(0)

    def begin(self, instance: int) -> None:
        """Resets everything: another filter (0: none) uses the slot from now on."""
        self.instance = instance
        self.settings = LiveSettings()
        self.error = self._settings_error = ""
        self._settings_sequence = self._number = 0
        self._stream: LiveStream | None = None
        self._began, self._paused_until = time.monotonic(), 0.0
        self._done: collections.deque[float] = collections.deque()

    def serve(self) -> bool:
        """Mattes the filter's newest picture if there is one to be matted. Returns whether there was."""
        instance = self.slot.control.instance
        if instance != self.instance:
            self.begin(instance)
        now = time.monotonic()
        if not instance or now < self._paused_until:
            return False
        self._write_rate(now)
        try:
            return self._serve()
        except DownloadError as error:
            self.slot.arena.check_owner()
            error.choices = choices(error)
            self._fail(str(error))
        except (StudioError, protocol.ProtocolError) as error:
            self.slot.arena.check_owner()
            self._fail(str(error))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if text not in self.error:  # once, not every second
                traceback.print_exc()
            self._fail(text)
            check_device(self._engines.device)
        return False

    def _serve(self) -> bool:
        self._read_settings()
        engine = self._engines.get(self.settings.model)
        picture = self.slot.read_picture(self._number)
        if engine is None or picture is None:
            return False
        stream = self._stream = self._stream or LiveStream(engine, self.settings)
        if stream.prepare(picture.height, picture.width):
            return True  # preparing took long: there is a newer picture by now
        started = time.monotonic()
        self.slot.take(picture)
        pixels = pixels_of(picture)
        if not picture.is_intact():
            return True
        write(self.slot, picture, stream.matte(pixels, picture.time_ns, picture.epoch))
        now = time.monotonic()
        self.slot.control.work_ns = int(1e9 * (now - started))
        self._done.append(now)
        self._number, self.error = picture.number, self._settings_error
        return True

    def _read_settings(self) -> None:
        changed = self.slot.read_settings(self._settings_sequence)
        if changed is None:
            return
        self._settings_sequence, found = changed
        try:
            settings = settings_of(found)
        except StudioError as error:  # the previous settings stay in force
            self.error = self._settings_error = str(error)
            return
        if self.error == self._settings_error:
            self.error = ""
        self._settings_error = ""
        if self._stream and settings.same_session(self.settings):
            self._stream.settings = settings
        else:
            self._stream = None
        self.settings = settings

    def _fail(self, text: str) -> None:
        self.error, self._stream = text, None
        self._paused_until = time.monotonic() + PAUSE
        release_cached_memory(self._engines.device)

    def _write_rate(self, now: float) -> None:
        while self._done and self._done[0] < now - RATE_SPAN:
            self._done.popleft()
        seconds = min(RATE_SPAN, max(now - self._began, LOOK))
        self.slot.control.rate_milli = int(1000 * len(self._done) / seconds)


def settings_of(found: dict) -> LiveSettings:
    """The protocol's settings -> LiveSettings, with defaults for those that are missing. Raises StudioError."""
    model, downsample = found.get("model", "mobilenetv3"), found.get("downsample", "auto")
    if not isinstance(model, str) or not isinstance(downsample, str):
        raise StudioError(f"The filter's settings have model {model!r} and downsample {downsample!r}; expected texts.")
    edges = EdgeOptions(grow=found.get("edge_shift", 0), feather=found.get("edge_feather", 0))
    return LiveSettings(model, downsample, edges, found.get("decontaminate", 0), bool(found.get("scene_cuts", True)))


def choices(error: DownloadError) -> tuple:
    """What the user of OBS can do. Few users start OBS from a terminal with RVM_WEIGHTS set, so install.py notes it."""
    installer = installer_command("--obs")
    return (
        f"connect to a network: the download is tried again every {DOWNLOAD_RETRY:.0f} seconds",
        f"put {error.file_name} into {error.folder}",
        "use the bundled weights, which give a rough result: set the variable RVM_WEIGHTS to "
        f"{STARTER_PATH}, then run {installer} and restart OBS",
    )


def pixels_of(picture: protocol.Picture) -> np.ndarray:
    """A copy [H, W, 4] of the picture, because the shared memory may be overwritten at any time."""
    shape, strides = (picture.height, picture.width, 4), (picture.linesize, 4, 1)
    return np.ndarray(shape, np.uint8, picture.pixels, strides=strides).copy()


def write(slot: protocol.Slot, picture: protocol.Picture, matte: LiveMatte) -> None:
    size = (0, 0) if matte.correction is None else matte.correction.shape[1::-1]
    with slot.write_matte(picture, picture.width, picture.height, size) as block:
        block.alpha[:] = np.ascontiguousarray(matte.alpha).reshape(-1).data
        if matte.correction is not None:
            block.correction[:] = matte.correction.reshape(-1).data


def serve(arena: protocol.Arena, reporter: Any) -> None:
    """Serves the arena's slots until the process ends. Raises ProtocolError if another worker has taken over,
    StudioError if there is no usable device, RuntimeError if the device is lost."""
    engines = set_up()
    places = [Place(slot, engines) for slot in arena.slots]
    reported = 0.0
    while True:
        served = [place.serve() for place in places]
        if time.monotonic() > reported + REPORT_INTERVAL:
            report(places, engines, reporter)
            reported = time.monotonic()
        if not any(served):
            time.sleep(LOOK if any(place.instance for place in places) else REST)


def set_up() -> SharedEngines:
    threads = os.environ.get("RVM_THREADS", "")
    if threads and not (threads.isdecimal() and int(threads) > 0):
        raise StudioError(f"RVM_THREADS is {threads!r}; expected a whole number of at least 1.")
    torch.set_num_threads(int(threads) if threads else max(1, torch.get_num_threads() - 1))
    torch.backends.cudnn.benchmark = True  # the picture size stays the same, and a slow first run does not matter
    return SharedEngines()


def report(places: list, engines: SharedEngines, reporter: Any) -> None:
    """Updates what the panel shows. The worker is ready unless none of the models in use is loaded."""
    wanted = {place.settings.model for place in places if place.instance}
    loaded, progress = engines.loaded(), engines.progress()
    errors = [f"{name_of(place)}{place.error}" for place in places if place.instance and place.error]
    state = protocol.READY
    if wanted and not wanted & set(loaded):
        state = protocol.STARTING if progress or not errors else protocol.FAILED
    reporter.set(
        state,
        device=device_text(engines.device),
        engine="; ".join(sorted({engine.name for engine in loaded.values()})),
        model=", ".join(sorted(wanted & set(loaded))),
        message=progress,
        error="; ".join(dict.fromkeys(errors)),
    )


def name_of(place: Place) -> str:
    name = place.slot.control.name.decode("utf-8", "replace")
    return f"{name}: " if name else ""


def device_text(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else describe_device(device)


def check_device(device: torch.device) -> None:
    """Raises RuntimeError if a GPU no longer responds: only a new process can use it again."""
    if device.type != "cuda":
        return
    try:
        torch.cuda.synchronize(device)
    except Exception as error:
        raise RuntimeError(f"{device_text(device)} no longer responds: {error}") from error


def check() -> dict:
    """For install.py: the Python, the device, the weights, the engine. Raises StudioError if one does not work."""
    engines = set_up()
    if not weights_are_here("mobilenetv3"):
        folder = models_dir()
        raise StudioError(f"The weights of mobilenetv3 are not in {folder}: they will be downloaded on first use.")
    path = find_weights("mobilenetv3")
    load_network(path)
    found = {"python": sys.version.split()[0], "device": device_text(engines.device), "weights": str(path)}
    return found | {"engine": engines.choice.engine, "precision": engines.choice.precision}
