"""A process that mattes clips, so that a decoder, an encoder or a driver that crashes costs one clip and not the batch.

One process serves all clips of a batch, with its network warm; after it has died, the next clip gets a new one. The two
talk through a pipe. What the other one prints goes to standard error. It ignores Ctrl-C and SIGTERM, which a terminal
and `timeout` send to every process of a group: this side hears them and passes them on. When this process ends, however
it does, the other one ends too.
"""

import contextlib
import logging
import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

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
        self._process: BaseProcess | None = None
        self._pipe: Any = None  # a Connection; on Windows a PipeConnection
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
        assert self._pipe is not None
        self._pipe.close()
        process.join(_PATIENCE)
        process.kill()
        process.join()

    def _start(self) -> None:
        # spawned everywhere: a forked process would have this one's threads' locks, but not its threads
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        level = logging.getLogger(NAME).level
        self._process = context.Process(target=serve, args=(theirs, *self._setup, level), name="rvm-clips")
        with _signals_held_back():
            self._process.start()
        theirs.close()
        self._ready = False
        self._events = queue.SimpleQueue()
        threading.Thread(target=_read, args=(self._pipe, self._events), daemon=True).start()

    def _send(self, message: object) -> None:
        assert self._pipe is not None
        with contextlib.suppress(OSError):  # it has died, which its closed end tells
            self._pipe.send(message)

    def _after_death(self, source: str, frames: int) -> None:
        """Raises the error about the clip at which the process died."""
        assert self._process is not None
        self._process.join()
        how = _cause(self._process.exitcode or 0)
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


def _read(pipe: Connection, events: "queue.SimpleQueue[tuple[Any, ...]]") -> None:
    """Hands on all messages, and at the end that there will be none."""
    try:
        while True:
            events.put(pipe.recv())
    except (EOFError, OSError):  # the last: closed on this side
        events.put(("died",))


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Blocks Ctrl-C and SIGTERM for this thread; a process that is started meanwhile never gets them."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # it would unblock them when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# The other process.


def serve(pipe: Connection, load_engine: "Callable[[], Engine]", background: str | None, level: int) -> None:
    """Runs the other process: takes requests from the pipe until it ends, and sends events."""
    from ..machine.process_tuning import loading, tune_process
    from .errors import failure_text

    if sys.platform == "win32":  # which has no masks that a process inherits
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    tune_process()
    os.dup2(2, 1)  # standard output is the other process's
    sending = threading.Lock()

    def send(*event: object) -> None:
        with sending, contextlib.suppress(OSError):
            pipe.send(event)

    package = logging.getLogger(NAME)
    package.addHandler(_Forwarding(send))
    package.setLevel(level)
    stop, waiting = threading.Event(), queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, waiting, stop), daemon=True).start()
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


def _listen(pipe: Connection, waiting: "queue.SimpleQueue[ClipRequest]", stop: threading.Event) -> None:
    """Takes messages; ends the process with the other one."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            message = pipe.recv()
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
