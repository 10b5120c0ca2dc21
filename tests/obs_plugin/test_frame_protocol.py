"""The shared memory between OBS and the worker, without either of them."""

import ast
import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rvm_frame_protocol as protocol
from filter_side import FilterSide
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from patience import PATIENCE, wait_for
from rvm_frame_protocol import Arena, ProtocolError

HERE = Path(__file__).resolve().parent
PLUGIN = HERE.parent.parent / "obs_plugin"
SHARED_FIXTURE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
WORDS = st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 2, 2**31, 2**32, 2**63, 2**64 - 1]))


@pytest.fixture
def arena():
    arena = Arena.create(2)
    yield arena
    arena.close()


@pytest.fixture
def worker(arena):
    worker = Arena.attach(arena.prepare_worker())
    yield worker
    worker.close()


def pixels(number: int, width: int, height: int) -> bytes:
    return bytes([number % 251]) * (4 * width * height)


# One process -----------------------------------------------------------------------------------------------------


def test_a_picture_and_its_matte(arena, worker):
    side, slot = FilterSide(arena.slots[1], 7, "kitchen"), worker.slots[1]
    assert slot.read_picture() is None
    side.write_picture(10, 3, 2, bytes(range(32)), linesize=16, epoch=4, time_ns=123)
    picture = slot.read_picture()
    assert (picture.number, picture.width, picture.height, picture.linesize) == (10, 3, 2, 16)
    assert (picture.time_ns, picture.epoch, picture.instance) == (123, 4, 7)
    assert bytes(picture.pixels) == bytes(range(32))
    assert slot.read_picture(10) is None
    slot.take(picture)
    assert side.control.taken == 10
    with slot.write_matte(picture, 3, 2, (1, 1)) as matte:
        matte.alpha[:] = bytes([1, 2, 3, 4, 5, 6])
        matte.correction[:] = bytes([128, 129, 130, 255])
    (read,) = side.read_mattes()
    assert (read.number, read.time_ns, read.instance, read.width, read.height) == (10, 123, 7, 3, 2)
    assert (read.alpha, read.correction, read.correction_size) == (
        bytes([1, 2, 3, 4, 5, 6]),
        b"\x80\x81\x82\xff",
        (1, 1),
    )
    assert side.read_mattes() == []
    assert worker.slots[0].read_picture() is None


def test_the_largest_picture(arena, worker):
    side, slot = FilterSide(arena.slots[0]), worker.slots[0]
    data = np.random.default_rng(0).integers(0, 256, 4 * 1920 * 1088, np.uint8).tobytes()
    side.write_picture(1, 1920, 1088, data)
    side.write_picture(2, 1920, 1088, data[::-1])
    picture = slot.read_picture()
    assert bytes(picture.pixels) == data[::-1]
    with slot.write_matte(picture, 1920, 1088, (960, 544)) as matte:
        matte.alpha[:], matte.correction[:] = data[: len(matte.alpha)], data[: len(matte.correction)]
    read = side.read_mattes()[0]
    assert len(read.alpha) == 1920 * 1088
    assert read.alpha == data[: len(read.alpha)]
    assert read.correction == data[: 4 * 960 * 544]
    assert bytes(picture.pixels) == data[::-1]  # nothing runs into its neighbour


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (1921, 1088), (20000, 1), (-1, 5)])
def test_mattes_of_impossible_size_are_refused(arena, worker, size):
    FilterSide(arena.slots[0]).write_picture(1, 2, 2, pixels(1, 2, 2))
    with pytest.raises(ProtocolError, match="limits"):
        worker.slots[0].write_matte(worker.slots[0].read_picture(), *size)


def test_a_torn_picture_is_noticed(arena, worker):
    side, slot = FilterSide(arena.slots[0]), worker.slots[0]
    side.write_picture(1, 2, 2, pixels(1, 2, 2))
    picture = slot.read_picture()
    for number in (2, 3):
        side.write_picture(number, 2, 2, pixels(number, 2, 2))
        assert picture.is_intact()
    side.write_picture(4, 2, 2, pixels(4, 2, 2))
    assert not picture.is_intact()


def test_a_picture_that_is_being_written_is_not_read(arena, worker):
    side, slot = FilterSide(arena.slots[0]), worker.slots[0]
    side.write_picture(1, 2, 2, pixels(1, 2, 2))
    header = arena.slots[0].picture_headers[2]
    with protocol.Writing(header, 2, 1):
        header.number, header.width, header.height, header.linesize = 2, 2, 2, 8
        side.control.picture_count = 2  # as processors that reorder may show it
        assert slot.read_picture() is None
    assert slot.read_picture().sequence == 4


def test_a_matte_that_failed_half_way_is_not_published(arena, worker):
    side, slot = FilterSide(arena.slots[0]), worker.slots[0]
    side.write_picture(1, 2, 2, pixels(1, 2, 2))
    picture = slot.read_picture()

    def fail():
        with slot.write_matte(picture, 2, 2) as matte:
            matte.alpha[:2] = b"ab"
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail()
    assert side.read_mattes() == []
    with slot.write_matte(picture, 2, 2) as matte:
        matte.alpha[:] = b"abcd"
    assert [matte.alpha for matte in side.read_mattes()] == [b"abcd"]


def test_a_slot_that_changed_hands_gets_no_old_matte(arena, worker):
    side, slot = FilterSide(arena.slots[0], 1), worker.slots[0]
    side.write_picture(1, 2, 2, pixels(1, 2, 2))
    picture = slot.read_picture()
    with slot.write_matte(picture, 2, 2) as matte:
        side.release()
        assert slot.read_picture() is None
        side = FilterSide(arena.slots[0], 2)
        matte.alpha[:] = b"abcd"
    assert side.read_mattes() == []
    assert slot.read_picture() is None


def test_of_two_filters_the_second_is_refused(arena):
    FilterSide(arena.slots[0], 1)
    with pytest.raises(ProtocolError, match="instance 1"):
        FilterSide(arena.slots[0], 2)


def test_of_two_workers_the_older_one_stops(arena, worker):
    side = FilterSide(arena.slots[0])
    side.write_picture(1, 2, 2, pixels(1, 2, 2))
    old = worker.slots[0]
    picture = old.read_picture()
    late = old.write_matte(picture, 2, 2)
    late.__enter__()
    newer = Arena.attach(arena.prepare_worker())
    with pytest.raises(ProtocolError, match="Another worker"):
        worker.beat()
    with pytest.raises(ProtocolError, match="Another worker"):
        worker.write_status(protocol.READY)
    with pytest.raises(ProtocolError, match="Another worker"), old.write_matte(picture, 2, 2):
        pass
    matte = newer.slots[0].write_matte(newer.slots[0].read_picture(), 2, 2).__enter__()
    matte.alpha[:] = b"new!"
    late.alpha[:] = b"old!"
    for writer in (late, matte):  # what two have written is nobody's
        with pytest.raises(ProtocolError, match="Two processes"):
            writer.__exit__(None, None, None)
    assert side.read_mattes() == []
    with newer.slots[0].write_matte(picture, 2, 2) as matte:
        matte.alpha[:] = b"new!"
    assert [matte.alpha for matte in side.read_mattes()] == [b"new!"]
    newer.close()


def test_status_and_settings(arena, worker):
    side, slot = FilterSide(arena.slots[0]), worker.slots[0]
    assert arena.read_status() == {}
    assert arena.header.worker_state == protocol.STARTING
    worker.write_status(protocol.READY, device="cpu", message="Bereit – läuft")
    assert arena.read_status() == {"device": "cpu", "message": "Bereit – läuft"}
    assert arena.header.worker_state == protocol.READY
    with pytest.raises(ProtocolError, match="2048"):
        worker.write_status(protocol.FAILED, error="x" * 2048)
    assert arena.read_status()["device"] == "cpu"
    assert slot.read_settings() is None
    side.write_settings(model="resnet50")
    sequence, read = slot.read_settings()
    assert read == {"model": "resnet50"}
    assert slot.read_settings(sequence) is None
    side.write_settings(model="mobilenetv3")
    assert slot.read_settings(sequence)[1] == {"model": "mobilenetv3"}
    arena.prepare_worker()
    assert arena.read_status() == {}


# Damaged and foreign memory --------------------------------------------------------------------------------------


@given(st.text(max_size=60) | st.from_regex(r"(fd|tag):\d{1,20}:\d{1,20}:.{0,5}", fullmatch=True))
def test_names_that_name_nothing(name):
    with pytest.raises(ProtocolError):
        Arena.attach(name)


@settings(suppress_health_check=SHARED_FIXTURE)
@given(
    st.dictionaries(st.sampled_from(["magic", "version", "arena_bytes", "slot_count", "slot_bytes"]), WORDS, min_size=1)
)
def test_a_fuzzed_header_is_refused_or_was_no_change(arena, changes):
    header, name = arena.header, arena.prepare_worker()
    before = {field: getattr(header, field) for field in changes}
    try:
        for field, value in changes.items():
            setattr(header, field, value)
        if changes.items() <= before.items():
            Arena.attach(name).close()
        else:
            with pytest.raises(ProtocolError):
                Arena.attach(name)
    finally:
        for field, value in before.items():
            setattr(header, field, value)


@settings(suppress_health_check=SHARED_FIXTURE, max_examples=300)
@given(
    st.dictionaries(st.sampled_from([name for name, _ in protocol.PictureHeader._fields_]), WORDS),
    st.dictionaries(st.sampled_from(["instance", "picture_count", "settings_sequence", "settings_length"]), WORDS),
    st.binary(max_size=1024),
)
def test_fuzzed_blocks_are_refused_or_within_bounds(arena, worker, block, control, text):
    slot = arena.slots[0]
    slot.control.instance = 0
    FilterSide(slot).write_picture(1, 4, 4, pixels(1, 4, 4))
    slot.control.settings_sequence = 2
    slot.control.settings_length = len(text)
    slot.control.settings = text[:1024]
    for field, value in control.items():
        setattr(slot.control, field, value)
    for field, value in block.items():
        setattr(slot.picture_headers[1], field, value)
    try:
        picture = worker.slots[0].read_picture()
    except ProtocolError:
        picture = None
    if picture is not None:
        assert 4 * picture.width <= picture.linesize
        assert len(picture.pixels) == picture.linesize * picture.height <= protocol.PICTURE_CAPACITY
    read = worker.slots[0].read_settings()
    assert read is None or isinstance(read[1], dict)


def test_an_arena_of_another_version(arena):
    name = arena.prepare_worker()
    arena.header.version = 2
    with pytest.raises(ProtocolError, match=r"version 2, expected 1.*install.py --obs"):
        Arena.attach(name)


# Two processes ---------------------------------------------------------------------------------------------------

FULL_SPEED = """
import sys
sys.path.insert(0, {plugin!r})
import rvm_frame_protocol as protocol
arena = protocol.Arena.attach(sys.argv[1])
slot, last, torn, count, epoch = arena.slots[0], 0, 0, 0, 1
while epoch == 1:
    picture = slot.read_picture(last)
    if picture is None:
        continue
    data = bytes(picture.pixels)
    if not picture.is_intact():
        torn += 1
        continue
    assert picture.number > last, (picture.number, last)
    assert data == bytes([picture.number % 251]) * len(data), picture.number
    assert len(data) == 4 * picture.width * picture.height
    last, count, epoch = picture.number, count + 1, picture.epoch
    with slot.write_matte(picture, 2, 1) as matte:
        matte.alpha[:] = bytes([picture.number % 251]) * 2
print(count, torn)
"""


@pytest.mark.slow
@pytest.mark.parametrize("side_length", [2, 64, 256])
def test_a_hundred_thousand_frames_at_full_speed(arena, side_length):
    """The reader, in another process, sees numbers that only rise, whole pictures only, and the last one; its mattes
    come back in order. What it cannot keep up with it skips."""
    frames = 100_000 if side_length < 100 else 20_000
    side = FilterSide(arena.slots[0])
    code = FULL_SPEED.format(plugin=str(PLUGIN))
    command = [sys.executable, "-c", code, arena.prepare_worker()]
    reader = subprocess.Popen(
        command, pass_fds=arena.inherited, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    colors = [bytes([value]) * (4 * side_length**2) for value in range(251)]
    numbers, number = [], 0

    def write_next(epoch=1):
        nonlocal number
        number += 1
        side.write_picture(number, side_length, side_length, colors[number % 251], epoch=epoch)
        numbers.extend(check_mattes(side))

    write_next()
    wait_for(lambda: slot_is_read(arena, reader), "the reader")
    while number < frames or len(numbers) < 20:  # they may take turns on one core, and the reader's are to be enough
        write_next()
        assert reader.poll() is None, reader.communicate()
    write_next(epoch=2)  # the last one
    output, errors = reader.communicate(timeout=PATIENCE)
    assert reader.returncode == 0, errors
    numbers += check_mattes(side)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == number
    assert int(output.split()[0]) >= len(numbers)


def slot_is_read(arena, reader) -> bool:
    assert reader.poll() is None, reader.communicate()
    return arena.slots[0].control.matte_count > 0


def check_mattes(side) -> list[int]:
    mattes = side.read_mattes()
    for matte in mattes:
        assert matte.alpha == bytes([matte.number % 251]) * 2
    return [matte.number for matte in mattes]


# Against a model -------------------------------------------------------------------------------------------------


class Conversation(RuleBasedStateMachine):
    """Any order of what filter and worker do: the newest picture is read, mattes arrive once, in order, whole."""

    @initialize()
    def set_up(self):
        self.arena = Arena.create(1)
        self.worker = Arena.attach(self.arena.prepare_worker())
        self.instance = self.number = 0
        self.claim()

    def claim(self):
        self.instance += 1
        self.side, self.written, self.sent, self.held, self.seen = (
            FilterSide(self.arena.slots[0], self.instance),
            [],
            [],
            None,
            0,
        )

    @rule(step=st.integers(1, 5), width=st.integers(1, 9), height=st.integers(1, 9), padding=st.integers(0, 3))
    def write(self, step, width, height, padding):
        self.number += step
        linesize = 4 * (width + padding)
        data = bytes((self.number + i) % 256 for i in range(linesize * height))
        self.side.write_picture(self.number, width, height, data, linesize)
        self.written.append((self.number, data))

    @rule()
    def read(self):
        picture = self.worker.slots[0].read_picture(self.seen)
        newest = self.written[-1] if self.written and self.written[-1][0] > self.seen else None
        assert (picture and (picture.number, bytes(picture.pixels))) == newest
        if picture:
            self.held, self.seen = picture, picture.number

    @precondition(lambda self: self.held)
    @rule()
    def look_again(self):
        """Intact means the same pixels as when it was written."""
        after = [number for number, _ in self.written if number > self.held.number]
        assert self.held.is_intact() == (len(after) < protocol.BUFFERS)
        if self.held.is_intact():
            assert bytes(self.held.pixels) == dict(self.written)[self.held.number]

    @precondition(lambda self: self.held)
    @rule(width=st.integers(1, 9), height=st.integers(1, 9), correction=st.sampled_from([(0, 0), (2, 3)]))
    def answer(self, width, height, correction):
        alpha = bytes((self.held.number * 3 + i) % 256 for i in range(width * height))
        with self.worker.slots[0].write_matte(self.held, width, height, correction) as matte:
            matte.alpha[:] = alpha
            matte.correction[:] = alpha[:1] * len(matte.correction)
        self.sent.append((self.held.number, width, height, alpha, alpha[:1] * (4 * correction[0] * correction[1])))

    @rule()
    def collect(self):
        mattes = [(m.number, m.width, m.height, m.alpha, m.correction) for m in self.side.read_mattes()]
        assert mattes == self.sent[-protocol.BUFFERS :]
        self.sent = []

    @rule()
    def another_filter(self):
        self.side.release()
        self.claim()

    @rule()
    def another_worker(self):
        self.worker.close()
        self.worker = Arena.attach(self.arena.prepare_worker())
        self.held, self.seen = None, 0

    @invariant()
    def other_fields_are_untouched(self):
        if hasattr(self, "arena"):
            assert self.arena.header.slot_count == 1

    def teardown(self):
        if hasattr(self, "arena"):
            self.held = None
            self.worker.close()
            self.arena.close()


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=40, stateful_step_count=40)


# Operating systems -----------------------------------------------------------------------------------------------


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_nothing_stays_open():
    before = open_files()
    arena = Arena.create(1)
    worker = Arena.attach(arena.prepare_worker())
    worker.close()
    arena.close()
    assert open_files() == before


def test_a_picture_outlives_a_closed_arena(arena):
    """Who still holds pixels keeps the memory: no crash."""
    worker = Arena.attach(arena.prepare_worker())
    FilterSide(arena.slots[0]).write_picture(1, 2, 2, pixels(1, 2, 2))
    picture = worker.slots[0].read_picture()
    worker.close()
    assert bytes(picture.pixels) == pixels(1, 2, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="counts the files in /dev/shm")
@pytest.mark.parametrize("kind", ["memfd", "posix", "file"])
def test_no_name_is_left(monkeypatch, tmp_path, kind):
    """Linux; macOS; a system with neither: in use, the arena stands in no folder and is open to nobody else."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    if kind != "memfd":
        monkeypatch.delattr(os, "memfd_create")
    if kind == "file":
        monkeypatch.setitem(sys.modules, "_posixshmem", None)
        monkeypatch.setattr(os.path, "isdir", lambda path: False)
    arena = Arena.create(1)
    assert not [name for name in os.listdir("/dev/shm") if "rvm" in name]
    assert os.listdir(tmp_path) == []
    if kind != "memfd":
        assert os.stat(arena.inherited[0]).st_mode & 0o777 == 0o600
    worker = Arena.attach(arena.prepare_worker())
    FilterSide(arena.slots[0]).write_picture(1, 2, 2, pixels(1, 2, 2))
    assert worker.slots[0].read_picture().number == 1
    worker.close()
    arena.close()


class TaggedMemory(bytearray):
    """What mmap gives on Windows."""

    def close(self):
        pass


def test_windows_shares_by_a_random_tag(monkeypatch):
    made = {}

    def fake(file, size, tagname):
        assert file == -1
        return made.setdefault(tagname, TaggedMemory(size))

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(mmap, "mmap", fake)
    arenas = [Arena.create(1), Arena.create(1)]
    assert len(made) == 2
    assert all(tag.startswith("Local\\rvm-matte-") and len(tag) > 40 for tag in made)
    assert arenas[0].inherited == ()
    worker = Arena.attach(arenas[0].prepare_worker())
    FilterSide(arenas[0].slots[0]).write_picture(1, 2, 2, pixels(1, 2, 2))
    assert worker.slots[0].read_picture().number == 1
    with pytest.raises(ProtocolError, match="not an arena"):  # a new, empty memory
        Arena.attach(arenas[0].prepare_worker() + "x")


def test_what_obs_loads_is_plain_old_python():
    """OBS 29 may come with Python 3.6; later versions with 3.12 at most."""
    for name in ("rvm_obs.py", "rvm_frame_protocol.py", "rvm_supervisor.py"):
        ast.parse((PLUGIN / name).read_text(), feature_version=(3, 6))


def test_the_structures_in_c_have_the_same_size():
    """Every field is named once, in order: LuaJIT reads this text."""
    text = protocol.c_layout()
    for structure in (protocol.Header, protocol.Control, protocol.PictureHeader, protocol.MatteHeader):
        body = text.split(f" }} {structure.__name__};")[0].split("typedef struct { ")[-1]
        declared = [part.split()[-1].split("[")[0] for part in body.rstrip("; }").split(";")]
        assert declared == [name for name, _ in structure._fields_]
    assert json.loads(json.dumps(protocol.shim_numbers(8)))["slot_count"] == 8


def test_a_worker_that_only_looks_costs_little(arena, worker):
    """A thousand times a second, at every slot: where nothing is new, nothing is read but a few numbers."""
    side = FilterSide(arena.slots[0])
    side.write_settings(model="mobilenetv3")
    side.write_picture(5, 64, 64, pixels(5, 64, 64))
    slot, called = worker.slots[0], []
    known, _ = slot.read_settings()
    sys.setprofile(lambda frame, event, _: event == "call" and called.append(frame.f_code.co_name))
    try:
        seen = slot.read_picture(5), slot.read_settings(known)
    finally:
        sys.setprofile(None)
    assert seen == (None, None)
    assert called == ["read_picture", "fence", "__init__", "is_intact", "fence", "read_settings"]
