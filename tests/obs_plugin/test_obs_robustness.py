"""OBS lives through everything that is done to filter, script and worker, and leaves nothing behind."""

import contextlib
import os
import random
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
import rvm_frame_protocol as protocol
from headless_obs import Remote, color, matte, scene
from patience import PATIENCE

HALF = 128
BUSY = """
import ctypes, obspython as obs, threading
stop = threading.Event()
calls = 0

def script_load(settings):
    threading.Thread(target=work).start()

def work():
    global calls
    while not stop.wait(0.002):
        source = obs.obs_get_source_by_name("Scene")
        if source is not None:
            scene = obs.obs_scene_from_source(source)
            obs.obs_scene_find_source(scene, "cam")
            items = obs.obs_scene_enum_items(scene)
            if items is not None:
                obs.sceneitem_list_release(items)
            obs.obs_source_release(source)
        obs.obs_enter_graphics()
        obs.obs_leave_graphics()
        calls += 1

def script_unload():
    stop.set()
"""


class Pestering(threading.Thread):
    """Does something to OBS again and again, over a connection of its own; keeps count, and what went wrong."""

    def __init__(self, obs, action, pause: float):
        super().__init__()
        self._remote, self._action, self._pause = Remote(obs.port), action, pause
        self.stopping = threading.Event()
        self.count, self.error = 0, None

    def run(self):
        try:
            while not self.stopping.wait(self._pause):
                self._action(lambda kind, **data: self._remote.request(kind, data), self.count)
                self.count += 1
        except Exception as error:  # anything; the test raises it
            self.error = error
        self._remote.close()


def screenshots(request, count):
    for name in ("cam", "Inner", "Scene"):
        request("GetSourceScreenshot", sourceName=name, imageFormat="png")


def resize(request, count):
    width, height = random.Random(count).choices(range(16, 320, 7), k=2)
    request("SetInputSettings", inputName="cam", inputSettings={"width": width, "height": height})


def filters(request, count):
    name = f"extra {count}"
    request("CreateSourceFilter", sourceName="cam", filterName=name, filterKind="rvm_matte_filter", filterSettings={})
    time.sleep(0.1)
    settings = {"output": ["blur", "alpha", "color_key"][count % 3], "sync": ["soon", "newest", "steady"][count % 3]}
    request("SetSourceFilterSettings", sourceName="cam", filterName=name, filterSettings=settings)
    time.sleep(0.1)
    request("SetSourceFilterEnabled", sourceName="cam", filterName=name, filterEnabled=False)
    request("SetSourceFilterEnabled", sourceName="cam", filterName=name, filterEnabled=True)
    time.sleep(0.1)
    request("RemoveSourceFilter", sourceName="cam", filterName=name)


@pytest.mark.slow
def test_everything_at_once(start_obs, tmp_path):
    """Reloads, filters that come and go, sizes that change, a chain of two filters, one on a scene, screenshots, and a
    script that locks all the time: nothing stands still for long, nothing crashes, nothing leaks."""
    busy = tmp_path / "busy_script.py"
    busy.write_text(BUSY)
    sources = [
        scene("Scene", ["back", "Inner"]),
        scene("Inner", ["cam"], [matte("on the scene")]),
        color("back", 0xFF000000, 320, 180),
        color("cam", 0xFFE02010, 160, 90, [matte("first"), matte("second", output="blur")]),
    ]
    obs = start_obs(sources, HALF, control=True, scripts=[busy], size=(320, 180))
    obs.wait_until(lambda: obs.screenshot("Inner")[..., 3].any())
    pests = [Pestering(obs, screenshots, 0.05), Pestering(obs, resize, 0.3), Pestering(obs, filters, 0.2)]
    for pest in pests:
        pest.start()

    def drawn() -> int:
        return obs.request("GetStats")["renderTotalFrames"]

    def locked() -> int:
        return obs.control("import sys; result = sys.modules['busy_script'].calls")

    reloads = 0
    try:
        while reloads < 30 or locked() < 1000 or min(pest.count for pest in pests) < 30:
            obs.control(f"in_window(lambda: reload({str(obs.script)!r}))")
            reloads += 1
            until = drawn() + 25
            obs.wait_until(lambda until=until: drawn() >= until, "frames")
            assert not [pest.error for pest in pests if pest.error]
    finally:
        for pest in pests:
            pest.stopping.set()
        for pest in pests:
            pest.join()
    assert not [pest.error for pest in pests if pest.error]
    obs.request("SetInputSettings", inputName="cam", inputSettings={"width": 160, "height": 90})
    obs.wait_until(lambda: obs.screenshot("Inner")[..., 3].any(), "a matte after all that")
    assert obs.quit() == 0
    assert "Number of memory leaks: 1\n" in obs.log_text()  # OBS 29's own


@pytest.mark.slow
def test_a_worker_killed_ten_times(start_obs):
    obs = start_obs([color("cam", 0xFFE02010, 64, 36, [matte(late="hide")])], HALF)

    def opacity() -> int:
        return int(obs.screenshot("cam")[..., 3].max())

    obs.wait_until(lambda: opacity() == HALF)

    def seen_after_a_kill() -> set[int]:
        """Until the mattes of another worker are shown."""
        process, seen = obs.report()["pid"], set()
        os.kill(process, signal.SIGKILL)
        obs.wait_until(lambda: seen.add(opacity()) or obs.report()["pid"] != process, "another worker")
        obs.wait_until(lambda: seen.add(opacity()) or obs.report()["slots"][0]["shown"] == protocol.LIVE)
        return seen

    for _ in range(10):
        assert seen_after_a_kill() <= {0, HALF}
    assert obs.quit() == 0


def test_obs_killed_leaves_nothing(start_obs):
    memory = set(os.listdir("/dev/shm"))
    obs = start_obs([color("cam", 0xFFE02010, 64, 36, [matte()])], HALF)
    obs.wait_until(lambda: obs.screenshot("cam")[..., 3].any())
    worker = psutil.Process(obs.report()["pid"])
    arena = arenas(worker)
    assert len(arena) == 1
    obs.kill()
    gone, _ = psutil.wait_procs([worker], PATIENCE)
    assert gone
    assert not [name for name in set(os.listdir("/dev/shm")) - memory if "rvm" in name]
    assert not any(arenas(process) & arena for process in psutil.process_iter())


def arenas(process) -> set[str]:
    """The shared memories that a process has mapped: their numbers."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
        return {line.split()[4] for line in lines if "memfd:rvm-matte" in line}
    return set()


def test_the_worker_ends_with_the_script(start_obs):
    obs = start_obs([color("cam", 0xFFE02010, 64, 36, [matte()])], HALF, control=True)
    obs.wait_until(lambda: obs.screenshot("cam")[..., 3].any())
    worker = psutil.Process(obs.report()["pid"])
    obs.control(f"in_window(lambda: unload({str(obs.script)!r}))")
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    assert obs.quit() == 0
