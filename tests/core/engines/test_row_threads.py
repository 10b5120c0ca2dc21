"""Rows shared out among threads: each exactly once, faults passed on, nobody waited for in vain."""

import threading
import time

import pytest
import torch
from rvm_studio.core.engines.row_threads import over_rows


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
        meeting = threading.Barrier(2, timeout=10)
        over_rows(32, lambda begin, end: meeting.wait())  # two bands: each waits until the other runs too
    finally:
        torch.set_num_threads(before)


def test_a_fault_is_passed_on_and_ends_the_work(threads):
    done = []

    def work(begin, end):
        if begin == 0:
            raise ZeroDivisionError
        time.sleep(0.01)
        done.append(begin)

    with pytest.raises(ZeroDivisionError):
        over_rows(4000, work)
    assert len(done) < 4 * threads
    over_rows(64, lambda begin, end: done.append(end))  # the pool lives on
