"""When no matte comes: freeze, hide or show the whole picture, as chosen, and never the room otherwise."""

import os
import signal
import time

import pytest
from headless_obs import color, matte

HALF = 128  # the worker's matte: more opaque than that is only the raw picture


def opacity(obs) -> int:
    return int(obs.screenshot("cam")[..., 3].max())


def start(start_obs, delay_ms=0, size=(64, 36), **settings):
    return start_obs([color("cam", 0xFFE02010, *size, [matte(**settings)])], HALF, delay_ms)


@pytest.mark.parametrize(("late", "expected"), [("freeze", 0), ("hide", 0), ("raw", 255)])
def test_before_the_first_matte(start_obs, late, expected):
    obs = start(start_obs, 3000, late=late)
    for _ in range(20):
        assert opacity(obs) == expected


@pytest.mark.parametrize(
    ("late", "after"), [("freeze", [(0.6, HALF), (2.2, 0)]), ("hide", [(0.9, 0)]), ("raw", [(0.9, 255)])]
)
def test_a_worker_that_stands_still(start_obs, late, after):
    """after: (seconds since it stopped, what is seen)"""
    obs = start(start_obs, late=late, freeze=1500)
    obs.wait_until(lambda: opacity(obs) == HALF)
    time.sleep(1)
    process = obs.report()["pid"]
    os.kill(process, signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        for seconds, expected in after:
            time.sleep(max(0, stopped + seconds - time.monotonic()))
            assert opacity(obs) == expected
    finally:
        os.kill(process, signal.SIGCONT)
    obs.wait_until(lambda: opacity(obs) == HALF)


@pytest.mark.parametrize("sync", ["steady", "soon", "newest"])
def test_another_size_never_shows_the_room(start_obs, sync):
    obs = start(start_obs, 60, sync=sync)
    obs.wait_until(lambda: opacity(obs) == HALF)
    for width in (100, 32, 64):
        obs.request("SetInputSettings", inputName="cam", inputSettings={"width": width})
        end = time.monotonic() + 1.5
        seen = set()
        while time.monotonic() < end:
            seen.add(opacity(obs))
        assert seen <= {0, HALF}
        assert HALF in seen


def test_more_filters_than_places(start_obs):
    """Nine filters, eight places in the shared memory: the ninth hides its picture. It takes over the place of a source
    that has not been drawn for two seconds."""
    sources = [color(f"cam{i}", 0xFFE02010, 16, 16, [matte()]) for i in range(9)]
    obs = start_obs(sources, HALF)

    def seen():
        return [int(obs.screenshot(f"cam{i}")[..., 3].max()) for i in range(9)]

    obs.wait_until(lambda: sorted(seen()) == [0] + 8 * [HALF])
    hidden = seen().index(0)
    shown = (hidden + 1) % 9
    items = {
        item["sourceName"]: item["sceneItemId"]
        for item in obs.request("GetSceneItemList", sceneName="Scene")["sceneItems"]
    }
    obs.request("SetSceneItemEnabled", sceneName="Scene", sceneItemId=items[f"cam{shown}"], sceneItemEnabled=False)
    time.sleep(2.5)
    obs.wait_until(lambda: obs.screenshot(f"cam{hidden}")[..., 3].max() == HALF)
