"""Which pair of picture and matte the filter shows when, and which frames the worker gets (rvm_filter_timing.lua)."""

import pytest
import rvm_frame_protocol as protocol

lua_parts = pytest.importorskip("lua_parts", reason="lupa is not installed")

MS, S = 1e6, 1e9
FRAME = S / 30


@pytest.fixture
def part():
    return lua_parts.Part("rvm_filter_timing.lua")


def entry(number, matted=True):
    return {"number": number, "time": number * FRAME, "matted": matted}


def shown(part, sync, now, entries, **fields):
    """The number of the picture that is shown at `now`."""
    fields = {"delay": 0, "fixed_delay": 0, "interval": 0, **fields}
    d = part.table({"sync": sync, "now": now, "ring": entries, **fields})
    part.module.choose(d)
    return d.shown and d.shown.number


def test_the_newest_pair_is_shown(part):
    ring = [entry(1), entry(3), entry(2), entry(4, matted=False)]
    assert shown(part, "soon", 10 * FRAME, ring) == 3
    assert shown(part, "soon", 10 * FRAME, ring[3:]) is None


@pytest.mark.parametrize(("delay", "fixed", "expected"), [(2, 0, 3), (3, 0, 2), (2, 4, 1), (9, 0, None)])
def test_a_steady_delay(part, delay, fixed, expected):
    """In frames. A pair waits until it is as old as the delay, whether that was found or is fixed."""
    ring = [entry(1), entry(2), entry(3), entry(4)]
    assert shown(part, "steady", 5 * FRAME, ring, delay=delay * FRAME, fixed_delay=fixed * FRAME) == expected


def test_never_back(part):
    d = part.table({"sync": "soon", "now": 9 * FRAME, "interval": 0, "ring": [entry(5)]})
    part.module.choose(d)
    d.ring = part.table([entry(4)])
    part.module.choose(d)
    assert d.shown.number == 5


@pytest.mark.parametrize(
    ("late", "seconds", "expected"),
    [
        ("freeze", 0.2, protocol.LIVE),
        ("freeze", 0.3, protocol.FROZEN),
        ("freeze", 1.1, protocol.HIDDEN),
        ("hide", 0.2, protocol.LIVE),
        ("hide", 0.3, protocol.HIDDEN),
        ("raw", 0.2, protocol.LIVE),
        ("raw", 0.3, protocol.RAW),
    ],
)
def test_late_mattes(part, late, seconds, expected):
    times = {"freeze": 1 * S, "now": 5 * S, "renewed": (5 - seconds) * S, "interval": 0}
    d = part.table({"slot": 0, "late": late, "shown": entry(1), **times})
    state = part.module.scene_now(d, True)
    assert (state[0] if isinstance(state, tuple) else state) == expected
    d.interval = 1 * S  # a slow worker is not late at once
    assert part.module.scene_now(d, True)[0] == protocol.LIVE


@pytest.mark.parametrize(("late", "expected"), [("freeze", protocol.HIDDEN), ("raw", protocol.RAW)])
def test_without_a_slot_or_an_effect(part, late, expected):
    assert part.module.scene_now(part.table({"late": late}), True) == expected
    assert part.module.scene_now(part.table({"late": late, "slot": 0, "shown": entry(1)}), False) == expected
    waiting = protocol.WAITING if late == "freeze" else expected
    assert part.module.scene_now(part.table({"late": late, "slot": 0}), True) == waiting


class Skipping:
    """A filter at 30 frames a second, with a worker that takes so many seconds for a matte."""

    def __init__(self, part, skip="auto"):
        self.part, self.d = part, part.table({"skip": skip, "now": 0, "every": 1, "work": 0})

    def run(self, seconds, work):
        """Returns every how many-th frame the worker gets in the end."""
        self.d.work = work * S
        for _ in range(round(seconds * 30)):
            self.d.now += FRAME
            self.part.module.adapt_skip(self.d)
            trial = self.d.trial
            if trial:
                trial.frames += 1
                trial.handed += 1 / self.d.every
                trial.came += min(1 / self.d.every, FRAME / S / work)
        return self.d.every


@pytest.mark.parametrize(("work", "expected"), [(0.01, 1), (0.05, 2), (0.09, 3), (1, 7)])
def test_a_slow_worker_gets_fewer_frames(part, work, expected):
    filters = Skipping(part)  # in two seconds every eighth would be too few to judge by
    assert filters.run(40, work) == expected
    assert filters.run(300, 0.005) == 1


def test_fixed_skipping(part):
    assert Skipping(part, "3").run(10, 1) == 3


def test_automatic_after_fixed_skipping(part):
    """A fast worker is found to be one, although nothing has slowed it down before."""
    filters = Skipping(part, "3")
    assert filters.run(1, 0.005) == 3
    filters.d.skip = "auto"
    assert filters.run(30, 0.005) == 1


def test_the_automatic_delay(part):
    d = part.table({"now": 0, "started": 0, "mattes_seen": 0, "delay": 0, "delays": []})

    def feed(count, latency):
        for _ in range(count):
            d.now += FRAME
            part.module.adapt_delay(d, latency * MS)
        return d.delay / MS

    assert feed(9, 40) == 0
    assert feed(1, 40) == 40
    assert feed(50, 60) == 60
    assert feed(30, 40) == 60
    assert feed(100, 50) < 60  # it still follows
    settled = feed(100, 50)
    assert settled == 50
    assert feed(1, 70) == 50  # one of many
    assert feed(4, 70) == 70
    assert feed(300, 20) == 70  # and then only grows
    assert feed(100, 9000) == 500
