"""When no matte comes: freeze, hide or show the whole picture, as chosen, and never the room otherwise."""

import pytest
import rvm_frame_protocol as protocol
from headless_obs import color, matte

FOR_GOOD = 10**7  # ms
HALF = 128  # the worker's matte: more opaque than that is only the raw picture


def opacity(obs) -> int:
    return int(obs.screenshot("cam")[..., 3].max())


class Settled:
    """Whether the filter has been in a state for twenty frames: longer than a matte may be on its way."""

    def __init__(self, obs, state: int):
        self._obs, self._state, self._since = obs, state, None

    def __call__(self) -> bool:
        slot = self._obs.report()["slots"][0]
        if slot["shown"] != self._state:
            self._since = None
        elif self._since is None or slot["shown_frames"] != self._since["shown_frames"]:
            self._since = slot
        return self._since is not None and slot["late_frames"] >= self._since["late_frames"] + 20


def start(start_obs, delay=0, held=False, **settings):
    return start_obs([color("cam", 0xFFE02010, 64, 36, [matte(**settings)])], HALF, delay, held=held)


@pytest.mark.parametrize(("late", "expected"), [("freeze", 0), ("hide", 0), ("raw", 255)])
def test_before_the_first_matte(start_obs, late, expected):
    obs = start(start_obs, held=True, late=late)
    for _ in range(20):
        assert opacity(obs) == expected
    obs.wait_until(lambda: obs.report()["slots"], "the first picture")
    for _ in range(20):
        assert opacity(obs) == expected
    obs.hold.unlink()
    obs.wait_until(lambda: opacity(obs) == HALF)


@pytest.mark.parametrize(
    ("settings", "between", "state", "expected"),
    [
        ({"late": "freeze", "freeze": FOR_GOOD}, {HALF}, protocol.FROZEN, HALF),
        ({"late": "freeze", "freeze": 1500}, {HALF, 0}, protocol.HIDDEN, 0),
        ({"late": "hide", "freeze": FOR_GOOD}, {HALF, 0}, protocol.HIDDEN, 0),
        ({"late": "raw", "freeze": FOR_GOOD}, {HALF, 255}, protocol.RAW, 255),
    ],
    ids=["frozen", "frozen for a while", "hidden", "raw"],
)
def test_a_worker_that_stands_still(start_obs, settings, between, state, expected):
    """What is seen on the way to the state that the filter comes to, and then."""
    obs = start(start_obs, **settings)
    obs.wait_until(lambda: opacity(obs) == HALF)
    obs.hold.touch()
    seen, settled = set(), Settled(obs, state)
    obs.wait_until(lambda: seen.add(opacity(obs)) or settled())
    assert seen <= between
    for _ in range(10):
        assert opacity(obs) == expected
    obs.hold.unlink()
    obs.wait_until(lambda: obs.report()["slots"][0]["shown"] == protocol.LIVE and opacity(obs) == HALF)


def test_what_is_frozen_is_hidden_once_its_time_is_over(start_obs):
    """The time counts from the last matte: it is over at once where it is set to none."""
    obs = start(start_obs, late="freeze", freeze=FOR_GOOD)
    obs.wait_until(lambda: opacity(obs) == HALF)
    obs.hold.touch()
    obs.wait_until(Settled(obs, protocol.FROZEN))
    obs.request("SetSourceFilterSettings", sourceName="cam", filterName="matte", filterSettings={"freeze": 0})
    obs.wait_until(Settled(obs, protocol.HIDDEN))
    assert opacity(obs) == 0


@pytest.mark.parametrize("sync", ["steady", "soon", "newest"])
def test_another_size_never_shows_the_room(start_obs, sync):
    obs = start(start_obs, 60, sync=sync)
    obs.wait_until(lambda: opacity(obs) == HALF)
    for width in (100, 32, 64):
        assert seen_while_it_changes(obs, width) <= {0, HALF}


def seen_while_it_changes(obs, width: int) -> set[int]:
    """Until mattes of the new width are shown."""
    obs.request("SetInputSettings", inputName="cam", inputSettings={"width": width})
    before, after = [], []
    obs.wait_until(lambda: before.append(opacity(obs)) or obs.report()["sizes"][0][0] == width)
    obs.wait_until(lambda: after.append(opacity(obs)) or (len(after) > 20 and HALF in after))
    return {*before, *after}


def test_more_filters_than_places(start_obs):
    """Nine filters, eight places in the shared memory: the ninth hides its picture. It takes over the place of a source
    that has not been drawn for two seconds."""
    sources = [color(f"cam{i}", 0xFFE02010, 16, 16, [matte()]) for i in range(9)]
    obs = start_obs(sources, HALF)

    def seen():
        return [int(obs.screenshot(f"cam{i}")[..., 3].max()) for i in range(9)]

    obs.wait_until(lambda: sorted(seen()) == [0] + 8 * [HALF])
    hidden = seen().index(0)
    seen_one = (hidden + 1) % 9
    items = {
        item["sourceName"]: item["sceneItemId"]
        for item in obs.request("GetSceneItemList", sceneName="Scene")["sceneItems"]
    }
    obs.request("SetSceneItemEnabled", sceneName="Scene", sceneItemId=items[f"cam{seen_one}"], sceneItemEnabled=False)
    obs.wait_until(lambda: obs.screenshot(f"cam{hidden}")[..., 3].max() == HALF)
