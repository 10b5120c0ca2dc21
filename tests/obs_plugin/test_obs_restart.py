"""The filter and its settings outlive OBS, the script and the scene collection."""

import json

import pytest
from headless_obs import RequestError, color, matte

SETTINGS = {"output": "color_key", "key_color": 0xFF20C040, "edge_shift": -1.5, "late": "hide"}
KEY, CAMERA = (0x40, 0xC0, 0x20), (0x10, 0x20, 0xE0)


def sources(**settings):
    return [color("back", 0xFF000000, 64, 36), color("cam", 0xFFE02010, 64, 36, [matte(**{**SETTINGS, **settings})])]


def mixed(obs) -> bool:
    """The source shows the camera through half a matte over the key colour: the filter works, with its settings."""
    red, green, blue, alpha = obs.screenshot("cam")[18, 32].tolist()
    return KEY[0] > red > CAMERA[0] and KEY[1] > green > CAMERA[1] and KEY[2] < blue < CAMERA[2] and alpha == 255


def raw(obs) -> bool:
    return tuple(obs.screenshot("cam")[18, 32, :3]) == CAMERA


def kept(obs) -> bool:
    settings = obs.request("GetSourceFilter", sourceName="cam", filterName="matte")["filterSettings"]
    return settings.items() >= SETTINGS.items()


def test_restart_of_obs(start_obs):
    obs = start_obs(sources(), 128)
    obs.wait_until(lambda: mixed(obs))
    assert obs.quit() == 0
    obs.start()
    obs.wait_until(lambda: mixed(obs))
    assert kept(obs)


def test_without_the_script_the_settings_stay(start_obs):
    """OBS shows the source whole then, as docs/obs.md says: a placeholder stands for the filter."""
    obs = start_obs(sources(), 128)
    obs.wait_until(lambda: mixed(obs))
    assert obs.quit() == 0
    path = obs.config / "basic" / "scenes" / "ci.json"
    collection = json.loads(path.read_text())
    scripts = collection["modules"].pop("scripts-tool")
    path.write_text(json.dumps(collection))
    obs.start()
    assert raw(obs)
    assert kept(obs)
    assert obs.quit() == 0
    collection = json.loads(path.read_text())
    collection["modules"]["scripts-tool"] = scripts
    path.write_text(json.dumps(collection))
    obs.start()
    obs.wait_until(lambda: mixed(obs))
    assert kept(obs)


def test_removed_and_added_again_while_obs_runs(start_obs):
    """In between nothing is shown: neither the room nor an old picture."""
    obs = start_obs(sources(), 128, control=True)
    obs.wait_until(lambda: mixed(obs))
    for _ in range(3):
        obs.control(f"in_window(lambda: unload({str(obs.script)!r}))")
        assert not obs.screenshot("cam").any()
        obs.control(f"in_window(lambda: load({str(obs.script)!r}))")
        obs.wait_until(lambda: mixed(obs))
        assert kept(obs)
        obs.control(f"in_window(lambda: reload({str(obs.script)!r}))")
        obs.wait_until(lambda: mixed(obs))
    assert obs.quit() == 0
    assert "Number of memory leaks: 1\n" in obs.log_text()  # OBS 29's own


def test_scene_collections(start_obs):
    obs = start_obs(sources(), 128)
    assert obs.quit() == 0  # OBS looks for new collections at its start only
    obs.write_collection("other", sources(), [obs.script])
    obs.write_collection("plain", [color("cam", 0xFFE02010, 64, 36)])
    obs.start()
    for name in ("other", "ci", "plain", "ci", "plain", "other"):
        switch(obs, name)
        if name == "plain":
            with pytest.raises(RequestError):
                obs.request("GetSourceFilter", sourceName="cam", filterName="matte")
        else:
            obs.wait_until(lambda: mixed(obs), name)
            assert kept(obs)
    assert obs.quit() == 0


def switch(obs, name: str) -> None:
    obs.request("SetCurrentSceneCollection", sceneCollectionName=name)
    obs.wait_until(lambda: obs.request("GetSceneCollectionList")["currentSceneCollectionName"] == name)
