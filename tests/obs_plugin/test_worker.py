"""The worker's mattes, as a process with the filter's side of the protocol in this one."""

import numpy as np
import psutil
import pytest
import rvm_frame_protocol as protocol
import rvm_worker
from patience import wait_for
from rvm_studio.core.engines import build, choose
from rvm_studio.core.pictures.edges import EdgeOptions
from worker_process import CPU, SLOTS, Camera, moving_pictures, numbers, session_alphas

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
def test_mattes_are_a_sessions_own(worker, network):
    camera = Camera(worker.arena.slots[0])
    pictures = moving_pictures()
    assert np.array_equal(camera.alphas_of(pictures), session_alphas(network, pictures))
    assert worker.state == protocol.READY
    assert camera.control.work_ns > 0
    assert camera.control.taken == camera.slot.picture_headers[camera.control.picture_count % 3].number


def test_padded_rows_change_nothing(worker, network):
    pictures = moving_pictures(33, 51, 3)
    camera = Camera(worker.arena.slots[0])
    assert np.array_equal(camera.alphas_of(pictures, padding=52), session_alphas(network, pictures))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (35, 2)])
def test_tiny_pictures(worker, network, height, width):
    pictures = moving_pictures(height, width, 2)
    camera = Camera(worker.arena.slots[0], scene_cuts=False)
    assert np.array_equal(camera.alphas_of(pictures), session_alphas(network, pictures, scene_cut=None))


@pytest.mark.slow
def test_several_filters_each_have_their_own_memory(worker, network):
    cameras = [Camera(slot, f"camera {slot.index}") for slot in worker.arena.slots]
    pictures = [moving_pictures(40 + 9 * i, 60, 4, seed=i) for i in range(SLOTS)]
    alphas = [[] for _ in cameras]
    for t in range(4):
        for i, camera in enumerate(cameras):
            alphas[i] += list(camera.alphas_of(pictures[i][t : t + 1]))
    for i in range(SLOTS):
        assert np.array_equal(np.stack(alphas[i]), session_alphas(network, pictures[i]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "options"),
    [([(57, 90), (41, 60)], {}), ([(57, 90)] * 2, {"epoch": 2}), ([(57, 90)] * 2, {"after": 1.5})],
    ids=["another size", "another source", "a gap"],
)
def test_a_new_stream_begins_with_a_clean_memory(worker, network, sizes, options):
    one, other = moving_pictures(*sizes[0], 3), moving_pictures(*sizes[1], 4)
    camera = Camera(worker.arena.slots[0], scene_cuts=False)
    camera.alphas_of(one)
    first = camera.alphas_of(other[:1], **options)
    rest = camera.alphas_of(other[1:], epoch=options.get("epoch", 1))
    expected = session_alphas(network, other, scene_cut=None)
    assert np.array_equal(np.concatenate([first, rest]), expected)


def test_another_filter_in_the_same_slot_begins_with_a_clean_memory(worker, network):
    pictures = moving_pictures()
    Camera(worker.arena.slots[0]).alphas_of(pictures)
    worker.arena.slots[0].control.instance = 0
    assert np.array_equal(Camera(worker.arena.slots[0]).alphas_of(pictures), session_alphas(network, pictures))


def test_settings_are_followed(worker, network):
    pictures = moving_pictures(57, 90, 6)
    camera = Camera(worker.arena.slots[0], downsample="0.5", scene_cuts=False)
    half = session_alphas(network, pictures[:2], downsample_ratio=0.5, scene_cut=None)
    assert np.array_equal(camera.alphas_of(pictures[:2]), half)
    camera.write_settings(downsample="auto", scene_cuts=False)
    camera.matte_of(pictures[2])  # the other ratio starts a new session, with this picture
    camera.write_settings(downsample="auto", scene_cuts=False, edge_shift=-1.5, edge_feather=2.0)
    edges = EdgeOptions(grow=-1.5, feather=2.0)
    expected = session_alphas(network, pictures[2:5], edges, scene_cut=None)
    assert np.array_equal(camera.alphas_of(pictures[3:5]), expected[1:])
    assert camera.matte_of(pictures[5]).correction_size == (0, 0)


def test_a_correction_comes_if_asked_for(worker):
    camera = Camera(worker.arena.slots[0], decontaminate=1.0)
    matte = camera.matte_of(moving_pictures(58, 90, 1)[0])
    assert matte.correction_size == (45, 29)
    correction = np.frombuffer(matte.correction, np.uint8).reshape(29, 45, 4)
    assert (correction[..., 3] == 255).all()
    assert (correction[..., :3] != 128).any()


def test_wrong_settings_are_said_and_those_before_hold(worker, network):
    pictures = moving_pictures(57, 90, 3)
    camera = Camera(worker.arena.slots[0], "Desk", edge_feather=2.0)
    expected = session_alphas(network, pictures, EdgeOptions(feather=2.0))
    alphas = [camera.alphas_of(pictures[:1])]
    camera.write_settings(edge_feather=-1)
    alphas.append(camera.alphas_of(pictures[1:2]))
    wait_for(lambda: "Desk: The edge option feather is -1" in worker.status.get("error", ""), "the error")
    camera.write_settings(edge_feather=2.0)
    alphas.append(camera.alphas_of(pictures[2:]))
    assert np.array_equal(np.concatenate(alphas), expected)
    wait_for(lambda: worker.status.get("error") == "", "the error's end")


# ---- when pictures come faster than mattes


@pytest.mark.slow
def test_the_newest_picture_wins_and_filters_take_turns(start_worker):
    """While one picture is matted, several arrive from each filter."""
    worker = start_worker(held="matting")
    cameras = [Camera(slot, f"camera {slot.index}") for slot in worker.arena.slots[:2]]
    picture = moving_pictures(40, 60, 1)[0]
    newest = [camera.send(picture) for camera in cameras]
    wait_for(lambda: worker.gate.held == 1, "the first picture")
    turn = next(i for i in range(2) if cameras[i].control.taken)
    for matted in range(1, 9):
        taken = cameras[turn].control.taken
        assert taken == newest[turn]
        for _ in range(4):
            newest = [camera.send(picture) for camera in cameras]
        worker.gate.open()
        wait_for(lambda matted=matted: worker.gate.held == matted + 1, "the next picture")
        assert [matte.number for matte in cameras[turn].read_mattes()] == [taken]
        turn = 1 - turn
        assert cameras[turn].read_mattes() == []


def test_what_the_panel_shows(worker, network):
    Camera(worker.arena.slots[0]).matte_of(moving_pictures(40, 60, 1)[0])
    wait_for(lambda: worker.status.get("model"))
    assert worker.state == protocol.READY
    assert worker.status["device"].startswith("CPU, 1 threads")
    assert worker.status["engine"] == build(network, choose(CPU)).name
    assert worker.status["model"] == "mobilenetv3"
    assert worker.status["message"] == worker.status["error"] == ""
    assert psutil.Process(worker.process.pid).nice() == min(19, psutil.Process().nice() + rvm_worker.NICENESS)
    beat = worker.arena.header.worker_beat
    wait_for(lambda: worker.arena.header.worker_beat >= beat + 10, "ten beats")


# ---- garbage


def spoil_size(camera, rng):
    camera.write_picture(next(numbers), 60000, 60000, b"")


def spoil_rows(camera, rng):
    camera.write_picture(next(numbers), 100, 100, bytes(40000), linesize=399)


def spoil_settings(camera, rng):
    text = rng.bytes(200)
    protocol.ctypes.memmove(protocol.ctypes.addressof(camera.control) + protocol.Control.settings.offset, text, 200)
    camera.control.settings_length, camera.control.settings_sequence = 200, camera.control.settings_sequence + 2


def spoil_types(camera, rng):
    camera.write_settings(model=["a"], downsample={}, edge_shift="far", decontaminate=None, scene_cuts="maybe")


def spoil_name(camera, rng):
    camera.control.name = b"\xff\xfe" * 20


def spoil_pages(camera, rng):
    """Everything that the filter writes, except its instance."""
    for structure in (camera.control, *camera.slot.picture_headers):
        size = protocol.ctypes.sizeof(type(structure))
        skipped = 8 if structure is camera.control else 0
        protocol.ctypes.memmove(
            protocol.ctypes.addressof(structure) + skipped, rng.bytes(size - skipped), size - skipped
        )


@pytest.mark.parametrize("spoil", [spoil_size, spoil_rows, spoil_settings, spoil_types, spoil_name, spoil_pages])
def test_garbage_in_a_slot_harms_nobody(worker, network, spoil):
    rng = np.random.default_rng(0)
    pictures = moving_pictures(40, 60, 4)
    bad, good = Camera(worker.arena.slots[0]), Camera(worker.arena.slots[1])
    good.matte_of(pictures[0])
    for t in range(1, 4):
        spoil(bad, rng)
        good.matte_of(pictures[t])
    bad.release()
    for structure in (bad.control, *bad.slot.picture_headers):
        protocol.ctypes.memset(protocol.ctypes.addressof(structure), 0, protocol.ctypes.sizeof(type(structure)))
    again = Camera(worker.arena.slots[0])
    assert np.array_equal(again.alphas_of(pictures), session_alphas(network, pictures))


def test_an_impossible_picture_is_said(worker):
    camera = Camera(worker.arena.slots[0], "Desk")
    spoil_size(camera, None)
    wait_for(lambda: "Desk: A picture of 60000x60000 pixels" in worker.status.get("error", ""), "the error")
    camera.matte_of(moving_pictures(40, 60, 1)[0])
