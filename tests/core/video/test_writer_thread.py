"""A writer in a thread of its own: order, how far it may lag, faults, and its end."""

import threading
from pathlib import Path

import numpy as np
import pytest
from rvm_studio.core.errors import StudioError
from rvm_studio.core.video.writer_thread import WriterThread


class Recorder:
    """In place of a FrameWriter: notes what it is given; waits where `gate` is closed; frame `fails` is an error."""

    def __init__(self, fails=None):
        self.written, self.notes, self.fails = [], [], fails
        self.gate = threading.Event()
        self.gate.set()

    def write(self, image, pts, number):
        assert self.gate.wait(60)
        if number == self.fails:
            raise StudioError(f"frame {number} cannot be written")
        self.written.append((int(image[0, 0, 0]), pts, number))

    def finish(self):
        return Path(f"{len(self.written)} frames")

    def abandon(self, keep, *, settle=True):
        return Path(f"{len(self.written)} frames.partial") if keep else None


class OnACard:
    """A picture that is still on its way from a card."""

    def __init__(self, number):
        self._number = number

    def numpy(self):
        assert threading.current_thread().name.startswith("rvm-write"), "waited for by the one who computes"
        return image(self._number)


def image(number: int) -> np.ndarray:
    return np.full((2, 2, 4), number, np.uint8)


@pytest.fixture
def threads():
    """`threads()`: how many threads of writers this test has started and not yet ended."""
    before = set(threading.enumerate())
    return lambda: sum(thread.name.startswith("rvm-write") for thread in set(threading.enumerate()) - before)


@pytest.mark.parametrize(("from_zero", "zero"), [(False, 0), (True, 1000)])
def test_frames_in_order_from_wherever_they_lie(from_zero, zero):
    writer = Recorder()
    line = WriterThread(writer, 2, from_zero)
    for number in range(6):
        line.put(OnACard(number) if number % 2 else image(number), 1000 + 40 * number, number)
    assert line.finished is None
    assert line.finish() == line.finished == Path("6 frames")
    assert writer.written == [(number, 1000 + 40 * number - zero, number) for number in range(6)]


def test_the_thread_ends_with_the_output(threads):
    """Though the line is still held, as a job holds it to the end of the clip."""
    finished, stopped = WriterThread(Recorder(), 2), WriterThread(Recorder(), 2)
    for line in (finished, stopped):
        line.put(image(0), 0, 0)
    assert threads() == 2
    finished.finish()
    stopped.abandon(keep=True)
    assert threads() == 0


@pytest.mark.parametrize("queue", [1, 2, 4])
def test_so_many_frames_may_wait(queue):
    writer = Recorder()
    writer.gate.clear()
    line, put = WriterThread(writer, queue), []

    def feed():
        for number in range(queue + 2):
            line.put(image(number), number, number)
            put.append(number)

    feeding = threading.Thread(target=feed)
    feeding.start()
    while len(put) < queue and feeding.is_alive():
        feeding.join(0.01)
    feeding.join(0.1)  # nor does it get further
    assert put == list(range(queue)), "the queue is full"
    assert feeding.is_alive()
    writer.gate.set()
    feeding.join(60)
    line.finish()
    assert [number for *_, number in writer.written] == list(range(queue + 2))


def test_a_fault_is_raised_to_the_one_who_puts():
    writer = Recorder(fails=1)
    line = WriterThread(writer, 1)
    line.put(image(0), 0, 0)
    line.put(image(1), 1, 1)
    with pytest.raises(StudioError, match="frame 1 cannot be written"):
        line.put(image(2), 2, 2)
    line.abandon(keep=False)


def test_a_fault_of_the_last_frames_is_raised_at_the_end(threads):
    line = WriterThread(Recorder(fails=1), 4)
    line.put(image(0), 0, 0)
    line.put(image(1), 1, 1)
    with pytest.raises(StudioError, match="frame 1 cannot be written"):
        line.finish()
    assert line.finished is None
    line.abandon(keep=False)
    assert threads() == 0


def test_after_a_stop_what_was_put_is_written_where_it_is_kept():
    writer = Recorder()
    writer.gate.clear()
    line = WriterThread(writer, 4)
    for number in range(4):
        line.put(image(number), number, number)
    threading.Timer(0.2, writer.gate.set).start()
    assert line.abandon(keep=True) == Path("4 frames.partial")
    assert writer.notes == []


def test_after_a_stop_what_waits_is_dropped_where_it_is_not():
    writer = Recorder()
    writer.gate.clear()
    line = WriterThread(writer, 4)
    for number in range(4):
        line.put(image(number), number, number)
    threading.Timer(0.2, writer.gate.set).start()
    assert line.abandon(keep=False) is None
    assert len(writer.written) <= 1  # the one that was being written


def test_frames_that_were_not_written_are_told_once():
    line = WriterThread(Recorder(fails=1), 4)
    for number in range(3):
        line.put(image(number), number, number)
    line.abandon(keep=True)
    line.end(keep=True)
    assert line.writer.notes == ["the last frames were not written: frame 1 cannot be written"]


def test_a_finished_output_stays():
    line = WriterThread(Recorder(), 4)
    line.put(image(0), 0, 0)
    path = line.finish()
    assert line.abandon(keep=False) == path
