"""How pictures get from OBS to the worker process and mattes get back: through the arena, one block of shared memory
per OBS process. Version 1. The script creates the arena; the Lua shim (the filter in OBS) and the worker use it.

    arena   header page | slot 0 | slot 1 | ...             one slot per filter
    slot    control page | 3 picture blocks | 3 matte blocks
    block   header page | payload
              picture: RGBA, sRGB-coded, colours multiplied by alpha, `linesize` bytes per row, at most MAX_PIXELS
              matte: alpha, 1 byte per pixel, without padding. If `correction_width` is not 0, also, at
              CORRECTION_OFFSET, an RGBA picture of any size, without padding, whose colours 0..255 stand for -1..+1
              (128 is 0). Added to the colours of the picture, they give the straight foreground

The header, the control page and the block headers are the structures below: native uint64 fields, then texts. The shim
gets the same structures in C (`c_layout`). Rules:

- Every block has one writer. Its `sequence` is odd during a write, and 2 x count once the block holds the count-th
  picture (or matte) of its slot. That block has the index count % 3. `picture_count` (`matte_count`) is increased
  afterwards. A reader checks `sequence` again after reading: if it has changed, the data is torn and must be discarded.
- The shim numbers the pictures: numbers increase by any step and never repeat in an arena. A matte carries the number
  of its picture and is never drawn with another.
- `epoch` changes when earlier pictures are unrelated to this one (another size, another source, a gap).
- The shim claims a slot by setting `instance`, unique in an arena, as the last field; 0 releases the slot.
- A worker may write while `worker_token` is the one it was started with: of two workers, the older one stops.
- Nothing in the memory is trusted: sizes and offsets are constants, and the values in a block are checked before use.

The memory is private to the user. On Linux and macOS it has no name: the worker inherits the open file, so nothing is
left behind if a process is killed. On Windows its name is random, and it disappears with the last process that uses it.

Uses only the standard library; works with Python 3.6 and later, because it runs inside OBS.
"""

import ctypes
import json
import mmap
import os
import secrets
import sys
import tempfile
import threading
from typing import Any

MAGIC = int.from_bytes(b"RVMarena", "little")
VERSION = 1
SLOTS, MOST_SLOTS = 8, 64
BUFFERS = 3
PAGE = 4096
MAX_PIXELS = 1920 * 1088
MAX_SIDE = 16384
PICTURE_CAPACITY = 9 * 2**20  # MAX_PIXELS of 4 bytes and the padding that a GPU adds to the rows
CORRECTION_OFFSET = 2 * 2**20  # in a matte's payload
CORRECTION_CAPACITY = 2 * 2**20
MATTE_CAPACITY = CORRECTION_OFFSET + CORRECTION_CAPACITY
MATTES_OFFSET = PAGE + BUFFERS * (PAGE + PICTURE_CAPACITY)  # in a slot
SLOT_BYTES = MATTES_OFFSET + BUFFERS * (PAGE + MATTE_CAPACITY)

SPOILT = 2**64 - 1  # a sequence that no reader accepts
# worker_state
ABSENT, STARTING, READY, FAILED = range(4)
# shown: what the filter currently draws
WAITING, LIVE, FROZEN, HIDDEN, RAW = range(5)


class ProtocolError(Exception):
    """The memory has invalid content, or this process may no longer write to it."""


def _structure(c_name, words, **texts):
    """A C structure of uint64 words, followed by texts with their sizes in bytes."""
    fields = [(word, ctypes.c_uint64) for word in words.split()]
    fields += [(text, ctypes.c_char * size) for text, size in texts.items()]
    return type(c_name, (ctypes.Structure,), {"_fields_": fields})


# status: JSON with the texts device, engine, model, message, error.
Header = _structure(
    "rvm_header",
    "magic version arena_bytes slot_count slot_bytes worker_token worker_state worker_beat"
    " status_sequence status_length",
    status=2048,
)
# settings: JSON with model (a name or a file), downsample (auto, portrait, full_body), edge_shift and edge_feather (in
# pixels of the picture), decontaminate (0..1), scene_cuts (bool). The worker writes work_ns, rate_milli (mattes per
# 1000 s) and taken (the number of the picture in work); the shim writes the fields after them, for the panel. name: of
# the source.
Control = _structure(
    "rvm_control",
    "instance settings_sequence settings_length picture_count matte_count taken work_ns rate_milli"
    " width height latency_ns delay_ns shown_frames late_frames shown",
    settings=1024,
    name=256,
)
PictureHeader = _structure("rvm_picture", "sequence writer number time_ns epoch width height linesize")
MatteHeader = _structure(
    "rvm_matte", "sequence writer instance number time_ns width height correction_width correction_height"
)


def c_layout():
    """The structures as C declarations."""
    declarations = []
    for structure in (Header, Control, PictureHeader, MatteHeader):
        fields = [
            f"uint64_t {name};" if kind is ctypes.c_uint64 else f"char {name}[{ctypes.sizeof(kind)}];"
            for name, kind in structure._fields_
        ]
        declarations.append("typedef struct {{ {} }} {};".format(" ".join(fields), structure.__name__))
    return "\n".join(declarations)


def shim_numbers(slot_count):
    """The constants that the shim needs besides the structures, by name."""
    names = "PAGE BUFFERS SLOT_BYTES PICTURE_CAPACITY MATTES_OFFSET MATTE_CAPACITY CORRECTION_OFFSET"
    names += " CORRECTION_CAPACITY MAX_PIXELS MAX_SIDE"
    numbers = {name.lower(): globals()[name] for name in names.split()}
    numbers.update(STARTING=STARTING, READY=READY)
    numbers.update(WAITING=WAITING, LIVE=LIVE, FROZEN=FROZEN, HIDDEN=HIDDEN, RAW=RAW)
    return dict(numbers, slot_count=slot_count)


_FENCE = threading.Lock()


def fence():
    """A memory fence: other processes see writes before it earlier than writes after it, also on processors that
    reorder writes (not Intel's and AMD's). One lock and unlock lets writes move in; no write can pass two of them."""
    for _ in range(2):
        with _FENCE:
            pass


def arena_bytes(slot_count):
    return PAGE + slot_count * SLOT_BYTES


class Arena:
    """The mapped memory: `header` (live: its fields are read from the memory) and `slots`. The script makes it by
    `create`, the worker by `attach`."""

    def __init__(self, memory, slot_count, token, file=None, tag=None):
        self._memory, self._file, self._tag = memory, file, tag
        self.token = token
        self.view = memoryview(memory)
        self.header: Any = Header.from_buffer(memory)
        self.slots = [Slot(self, index) for index in range(slot_count)]

    @classmethod
    def create(cls, slot_count=SLOTS):
        size = arena_bytes(slot_count)
        tag = file = None
        if sys.platform == "win32":
            tag = "Local\\rvm-matte-" + secrets.token_hex(16)
            memory = mmap.mmap(-1, size, tagname=tag)  # pyright: ignore[reportCallIssue] - Windows only
        else:
            file = _nameless_file()
            os.ftruncate(file, size)
            memory = mmap.mmap(file, size)
        arena = cls(memory, slot_count, 0, file, tag)
        header = arena.header
        header.version, header.arena_bytes, header.slot_count, header.slot_bytes = VERSION, size, slot_count, SLOT_BYTES
        fence()
        header.magic = MAGIC
        return arena

    @classmethod
    def attach(cls, name):
        """name: the result of `prepare_worker`. Raises ProtocolError if there is no arena of this version."""
        kind, size, token, place = _parsed(name)
        try:
            if kind == "tag":
                memory = mmap.mmap(-1, size, tagname=place)  # pyright: ignore[reportCallIssue] - Windows only
            else:
                memory = mmap.mmap(int(place), size)
        except (OSError, ValueError, OverflowError) as error:
            raise ProtocolError(f"The shared memory {name!r} cannot be opened: {error}.") from error
        return cls(memory, _checked_slot_count(memory, size), token)

    def close(self):
        """Unmaps the memory, or leaves that to the last Picture or matte that still refers to it."""
        for slot in self.slots:
            slot.detach()
        self.slots = []
        self.header = None
        try:
            self.view.release()
            self._memory.close()
        except BufferError:
            pass
        if self._file is not None:
            os.close(self._file)
            self._file = None

    # The script's side

    @property
    def address(self):
        return ctypes.addressof(self.header)

    @property
    def inherited(self):
        """The file descriptors that a worker must inherit (`pass_fds`)."""
        return () if self._file is None else (self._file,)

    def prepare_worker(self):
        """The arena's name for a new worker. Workers with an earlier name may no longer write."""
        token = secrets.randbits(63) | 1
        self.header.status_length = 0
        self.header.worker_state = STARTING
        self.header.worker_token = token
        kind, place = ("tag", self._tag) if self._file is None else ("fd", self._file)
        return f"{kind}:{self.header.arena_bytes}:{token}:{place}"

    def read_status(self):
        """The worker's last status: a dict of texts, empty if there is none."""
        return read_json(self.header, "status") or {}

    # The worker's side

    def check_owner(self):
        """Raises ProtocolError if another worker has replaced this one."""
        if self.header.worker_token != self.token:
            raise ProtocolError("Another worker has replaced this one.")

    def beat(self):
        """Sends a heartbeat; call it at least ten times a second. Raises ProtocolError if the worker was replaced."""
        self.check_owner()
        self.header.worker_beat += 1

    def write_status(self, state, **texts):
        self.check_owner()
        write_json(self.header, "status", texts)
        self.header.worker_state = state


class Slot:
    """One filter's part of the arena. `control` and the block headers are live. The worker uses the methods."""

    def __init__(self, arena, index):
        self.arena, self.index = arena, index
        start = PAGE + index * SLOT_BYTES
        pictures = [start + PAGE + i * (PAGE + PICTURE_CAPACITY) for i in range(BUFFERS)]
        mattes = [start + MATTES_OFFSET + i * (PAGE + MATTE_CAPACITY) for i in range(BUFFERS)]
        memory = arena.view.obj
        self.control: Any = Control.from_buffer(memory, start)
        self.picture_headers: Any = [PictureHeader.from_buffer(memory, offset) for offset in pictures]
        self.matte_headers: Any = [MatteHeader.from_buffer(memory, offset) for offset in mattes]
        self.pictures = [arena.view[at + PAGE : at + PAGE + PICTURE_CAPACITY] for at in pictures]
        self.mattes = [arena.view[at + PAGE : at + PAGE + MATTE_CAPACITY] for at in mattes]

    def detach(self):
        self.control = self.picture_headers = self.matte_headers = None
        for payload in self.pictures + self.mattes:
            payload.release()

    def read_settings(self, known=0):
        """(sequence, settings) if the settings have changed since the sequence `known`; otherwise None."""
        sequence = self.control.settings_sequence
        settings = None if sequence == known or sequence % 2 else read_json(self.control, "settings")
        if settings is None or self.control.settings_sequence != sequence:
            return None
        return sequence, settings

    def read_picture(self, after=0):
        """The newest Picture if its number is above `after`, or None. Raises ProtocolError for an impossible size."""
        instance = self.control.instance
        for _ in range(BUFFERS):  # a newer one may arrive while this one is read
            count = self.control.picture_count
            if not instance or not count:
                return None
            fence()
            picture = Picture(self.picture_headers[count % BUFFERS], instance)
            if picture.sequence != 2 * count or not picture.is_intact() or self.control.instance != instance:
                continue
            if picture.number <= after:
                return None
            width, height, linesize = picture.width, picture.height, picture.linesize
            check_size("picture", width, height)
            if not 4 * width <= linesize <= PICTURE_CAPACITY // height:
                raise ProtocolError(f"A picture of {width}x{height} pixels cannot have {linesize} bytes per row.")
            picture.pixels = self.pictures[count % BUFFERS][: linesize * height]
            return picture
        return None

    def take(self, picture):
        """Tells the shim to keep this picture, because its matte is being computed."""
        self.control.taken = picture.number

    def write_matte(self, picture, width, height, correction=(0, 0)):
        """A context manager whose value has the memoryviews `alpha` and, if its size (width, height) is not 0,
        `correction` to be filled. The matte is published on leaving the block, unless it raises."""
        return MatteWriter(self, picture, width, height, correction)


class Picture:
    """width, height, linesize (bytes per row), number, time_ns (OBS's clock), epoch, and `pixels`: a memoryview of the
    shared memory itself. After copying or converting the pixels, check `is_intact()`."""

    def __init__(self, header, instance):
        self._header, self.instance = header, instance
        self.sequence, self.number, self.time_ns, self.epoch = (
            header.sequence,
            header.number,
            header.time_ns,
            header.epoch,
        )
        self.width, self.height, self.linesize = header.width, header.height, header.linesize
        self.pixels = memoryview(b"")

    def is_intact(self):
        """Whether the picture has not been overwritten since its header was read."""
        fence()
        return self._header.sequence == self.sequence


class MatteWriter:
    def __init__(self, slot, picture, width, height, correction):
        check_size("matte", width, height)
        if min(correction) < 0 or 4 * correction[0] * correction[1] > CORRECTION_CAPACITY:
            raise ProtocolError("A correction of {}x{} pixels exceeds the protocol's limits.".format(*correction))
        self._slot, self._picture = slot, picture
        self._width, self._height, self._correction = width, height, correction
        self.alpha = self.correction = memoryview(b"")

    def __enter__(self):
        slot, picture = self._slot, self._picture
        slot.arena.check_owner()
        self._count = slot.control.matte_count + 1
        header = slot.matte_headers[self._count % BUFFERS]
        self._writing = Writing(header, self._count, slot.arena.token)
        self._writing.__enter__()
        header.instance, header.number, header.time_ns = picture.instance, picture.number, picture.time_ns
        header.width, header.height = self._width, self._height
        header.correction_width, header.correction_height = self._correction
        payload = slot.mattes[self._count % BUFFERS]
        self.alpha = payload[: self._width * self._height]
        correction_bytes = 4 * self._correction[0] * self._correction[1]
        self.correction = payload[CORRECTION_OFFSET : CORRECTION_OFFSET + correction_bytes]
        return self

    def __exit__(self, kind, error, trace):
        self._writing.__exit__(kind, error, trace)
        if kind is None:
            self._slot.arena.check_owner()
            if self._slot.control.instance == self._picture.instance:  # otherwise the filter was removed meanwhile
                self._slot.control.matte_count = self._count


class Writing:
    """Keeps a block's sequence odd during a write, and for good if the write fails or there is a second writer."""

    def __init__(self, header, count, writer):
        self._header, self._count, self._writer = header, count, writer

    def __enter__(self):
        self._header.sequence = 2 * self._count - 1
        self._header.writer = self._writer
        fence()

    def __exit__(self, kind, error, trace):
        fence()
        header = self._header
        if header.sequence != 2 * self._count - 1 or header.writer != self._writer:
            header.sequence = SPOILT
            if kind is None:
                raise ProtocolError("Two processes wrote to the same block.")
        elif kind is None:
            header.sequence = 2 * self._count


def check_size(what, width, height):
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise ProtocolError(f"A {what} of {width}x{height} pixels exceeds the protocol's limits.")


def write_json(structure, field, value):
    """Writes a field as JSON. A field must have only one writer. Raises ProtocolError if the text is too long."""
    text, room = json.dumps(value).encode(), getattr(type(structure), field)
    if len(text) > room.size:
        raise ProtocolError(f"The {field} has {len(text)} bytes; at most {room.size} are possible.")
    sequence = getattr(structure, field + "_sequence") | 1
    setattr(structure, field + "_sequence", sequence)
    fence()
    ctypes.memmove(ctypes.addressof(structure) + room.offset, text, len(text))
    setattr(structure, field + "_length", len(text))
    fence()
    setattr(structure, field + "_sequence", sequence + 1)


def read_json(structure, field):
    """The dict in the field, or None if there is none or it is being written all the time."""
    room = getattr(type(structure), field)
    for _ in range(20):
        sequence = getattr(structure, field + "_sequence")
        fence()
        length = min(getattr(structure, field + "_length"), room.size)
        text = ctypes.string_at(ctypes.addressof(structure) + room.offset, length)
        fence()
        if sequence % 2 == 0 and getattr(structure, field + "_sequence") == sequence:
            break
    else:
        return None
    try:
        value = json.loads(text.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _nameless_file():
    """A file in memory, private to the user, without a name in any folder."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("rvm-matte")
    try:
        import _posixshmem  # macOS

        name = "/rvm-" + secrets.token_hex(8)
        file = _posixshmem.shm_open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        _posixshmem.shm_unlink(name)
    except ImportError:
        file, path = tempfile.mkstemp(prefix="rvm-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
        os.unlink(path)
    return file


def _parsed(name):
    try:
        kind, size, token, place = name.split(":", 3)
        if kind != ("tag" if sys.platform == "win32" else "fd") or not PAGE < int(size) <= arena_bytes(MOST_SLOTS):
            raise ValueError(name)
        return kind, int(size), int(token), place
    except ValueError:
        raise ProtocolError(f"{name!r} is not the name of an arena of version {VERSION}.") from None


def _checked_slot_count(memory, size):
    header: Any = Header.from_buffer_copy(memory)
    if header.magic != MAGIC:
        raise ProtocolError("The shared memory is not an arena of RVM Studio's filter.")
    if header.version != VERSION:
        raise ProtocolError(
            f"The arena has version {header.version}, expected {VERSION}: the script in OBS and the worker are from"
            " different releases. Run install.py --obs and restart OBS."
        )
    count, slot_bytes, total = header.slot_count, header.slot_bytes, header.arena_bytes
    if not 1 <= count <= MOST_SLOTS or slot_bytes != SLOT_BYTES or total != arena_bytes(count) or total > size:
        raise ProtocolError(f"The arena's header is inconsistent: {count} slots of {slot_bytes} bytes in {total}.")
    return count
