"""Rows shared out among threads: each exactly once, faults passed on, nobody waited for in vain."""

import threading
from collections import deque

import pytest
import torch
from patience import PATIENCE
from rvm_studio.core.engines.full_size import row_threads
from rvm_studio.core.engines.full_size.row_threads import over_rows


@pytest.fixture(params=[1, 2, 4])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("rows", [0, 1, 15, 16, 17, 100, 1081])
def test_every_row_once(threads, rows):
    seen, lock = [], threading.Lock()

    def work(begin, end):
        with lock:
            seen.extend(range(begin, end))

    over_rows(rows, work)
    assert sorted(seen) == list(range(rows))


def test_several_threads_work_at_once():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        meeting = threading.Barrier(2, timeout=PATIENCE)
        over_rows(32, lambda begin, end: meeting.wait())  # two bands: each waits until the other runs too
    finally:
        torch.set_num_threads(before)


def test_a_fault_ends_the_work(threads, monkeypatch):
    """The other threads finish the band that each is at, and begin none."""
    done, caller, emptied = [], threading.get_ident(), threading.Event()

    class Bands(deque):
        def clear(self):
            super().clear()
            emptied.set()

    def work(begin, end):
        if threading.get_ident() == caller:
            raise ZeroDivisionError
        assert emptied.wait(PATIENCE)
        done.append(begin)

    monkeypatch.setattr(row_threads, "deque", Bands)
    with pytest.raises(ZeroDivisionError):
        over_rows(4000, work)
    assert len(done) < threads
    over_rows(64, lambda begin, end: done.append(end))  # the pool lives on


def test_a_fault_in_another_thread_is_passed_on():
    before, caller, begun = torch.get_num_threads(), threading.get_ident(), threading.Event()

    def work(begin, end):
        if threading.get_ident() != caller:
            begun.set()
            raise ZeroDivisionError
        assert begun.wait(PATIENCE)

    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            over_rows(4000, work)
    finally:
        torch.set_num_threads(before)
