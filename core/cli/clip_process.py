"""A process that mattes clips, so that a decoder, an encoder or a driver that crashes costs one clip and not the batch.

One process serves all clips of a batch, with its network warm; after it has died, the next clip gets a new one. The two
talk through its standard input and output, in pickled messages. What it prints goes to standard error. It ignores
Ctrl-C and SIGTERM, which a terminal and `timeout` send to every process of a group: this side hears them and passes
them on. When this process ends, however it does, the other one ends too.
"""

import contextlib
import logging
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any

from ..errors import StudioError
from ..machine.root import NAME
from .clip_work import ClipRequest, Progress

if TYPE_CHECKING:
    from ..clips.options import ClipReport
    from ..engines import Engine

_LOOK = 0.1  # seconds between two looks whether to stop
_PATIENCE = 10  # seconds in which the other process ends by itself
_WINDOWS_FAULTS = {  # NTSTATUS codes with which Windows ends a process
    0xC0000005: "access violation",
    0xC000001D: "illegal instruction",
    0xC00000FD: "stack overflow",
    0xC0000374: "heap corruption",
    0xC0000409: "fatal error",
}

log = logging.getLogger(__name__)


class NoEngineError(StudioError):
    """The other process cannot load what every clip needs, so no clip can be matted."""


class WorkElsewhere:
    """Mattes clips in another process.

    load: makes the engine there; a function that can be pickled. background: checked there before the first clip.
    """

    def __init__(self, load: "Callable[[], Engine]", background: str | None):
        self._setup = load, background
        self._process: subprocess.Popen[bytes] | None = None
        self._events: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()
        self._ready = False

    def matte(self, request: ClipRequest, progress: Progress, stop: threading.Event) -> "ClipReport":
        """Mattes one clip there. Raises NoEngineError, and StudioError for the clip, also if the process dies."""
        if self._process is None:
            self._start()
        self._send(request)
        told_to_stop, frames = False, 0
        while True:
            if stop.is_set() and not told_to_stop:
                told_to_stop = True
                self._send("stop")
            try:
                kind, *values = self._events.get(timeout=_LOOK)
            except queue.Empty:
                continue
            if kind == "ready":
                self._ready = True
            elif kind == "log":
                log.log(*values)
            elif kind == "progress":
                frames = values[0]
                progress(*values)
            elif kind == "done":
                return values[0]
            elif kind == "failed":
                raise StudioError(values[0])
            elif kind == "no engine":
                self.close()
                raise NoEngineError(values[0])
            else:
                self._after_death(request.source, frames)

    def close(self) -> None:
        """Ends the process. It may be called again."""
        if self._process is None:
            return
        process, self._process = self._process, None
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_PATIENCE)
        process.kill()
        process.wait()

    def _start(self) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__package__}.clip_process import serve; serve()"
        with _signals_held_back():
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # Windows: no Ctrl-C there
            )
        self._ready = False
        self._events = queue.SimpleQueue()
        assert self._process.stdout is not None
        reading = threading.Thread(target=_read, args=(self._process.stdout, self._events), daemon=True)
        reading.start()
        self._send((*self._setup, logging.getLogger(NAME).level))

    def _send(self, message: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has died, which its closed output tells
            self._process.stdin.write(pickle.dumps(message))
            self._process.stdin.flush()

    def _after_death(self, source: str, frames: int) -> None:
        """Raises the error about the clip at which the process died."""
        assert self._process is not None
        how = _cause(self._process.wait())
        self.close()
        if not self._ready:
            raise NoEngineError(
                f"The process that loads the network died ({how}). Run `rvm-studio info` to see what works."
            )
        if how == "SIGKILL":
            raise StudioError(
                f"The process that matted {source} was killed after {frames} frames (SIGKILL), probably because memory "
                "ran out. Close other programs, or matte fewer pixels."
            )
        where = f"after {frames} frames" if frames else "before its first frame"
        raise StudioError(
            f"The decoder crashed on {source} ({how}, {where}). The file may be damaged: check whether another program "
            "plays it, and convert it there."
        )


def _cause(exit_code: int) -> str:
    """Why a process ended, as its exit code says."""
    if exit_code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-exit_code).name
    return _WINDOWS_FAULTS.get(exit_code & 0xFFFFFFFF, f"exit code {exit_code}")


def _read(stream: IO[bytes], events: "queue.SimpleQueue[tuple[Any, ...]]") -> None:
    """Hands on all messages, and at the end that there will be none."""
    try:
        while True:
            events.put(pickle.load(stream))
    except (EOFError, OSError, ValueError, pickle.UnpicklingError):  # ValueError: closed on this side
        events.put(("died",))


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Blocks Ctrl-C and SIGTERM for this thread; a process that is started meanwhile never gets them."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# The other process.


def serve() -> None:
    """Runs the other process: reads requests from standard input until it ends, and writes events."""
    from ..machine.process_tuning import loading, tune_process
    from .errors import failure_text

    tune_process()
    requests, events = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the events
    sys.stdout = sys.stderr
    sending = threading.Lock()

    def send(*event: object) -> None:
        data = pickle.dumps(event)
        with sending, contextlib.suppress(OSError):
            events.write(data)
            events.flush()

    load_engine, background, level = pickle.load(requests)
    package = logging.getLogger(NAME)
    package.addHandler(_Forwarding(send))
    package.setLevel(level)
    stop, waiting = threading.Event(), queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, waiting, stop), daemon=True).start()
    try:
        with loading():
            from .clip_work import load_all, matte_request

            engine = load_all(load_engine, background)
    except Exception as error:
        send("no engine", failure_text(error))
        os._exit(1)
    send("ready")
    while True:
        request = waiting.get()
        try:
            report = matte_request(request, engine, lambda *counts: send("progress", *counts), stop.is_set)
        except Exception as error:
            send("failed", failure_text(error))
        else:
            send("done", report)


def _listen(stream: IO[bytes], waiting: "queue.SimpleQueue[ClipRequest]", stop: threading.Event) -> None:
    """Takes messages; ends the process with the other one."""
    with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            message = pickle.load(stream)
            if message == "stop":
                stop.set()
            else:
                waiting.put(message)
    os._exit(1)


class _Forwarding(logging.Handler):
    """Sends log records to the process that prints them."""

    def __init__(self, send: Callable[..., None]):
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send("log", record.levelno, "%s", record.getMessage())
