"""What the filter does for a frame, by count. What that costs in milliseconds, bench/obs_overhead.py says."""

import importlib.util
from pathlib import Path

import headless_obs
import pytest
from headless_obs import color, matte, scene

BENCH = Path(__file__).resolve().parent.parent.parent / "bench" / "obs_overhead.py"
SHOWN = 4  # times at once


def test_a_frame_is_handed_over_once_however_often_it_is_drawn(start_obs):
    """Capturing, copying and uploading is what costs; to draw again what is there already costs little."""
    places = [("cam", {"pos": {"x": 16.0 * i, "y": 0.0}}) for i in range(SHOWN)]
    obs = start_obs([scene("Scene", places), color("cam", 0xFFE02010, 16, 16, [matte(skip="1")])], 255, size=(64, 16))
    obs.wait_until(lambda: (obs.screenshot("Scene")[..., :3].any(-1)).all(), "the source in all its places")

    def counted() -> tuple[int, int, int]:
        slot = obs.report()["slots"][0]
        return slot["shown_frames"] + slot["late_frames"], slot["picture_count"], slot["matte_count"]

    before = counted()
    obs.wait_until(lambda: counted()[0] >= before[0] + 60, "sixty frames")
    frames, pictures, mattes = (after - earlier for after, earlier in zip(counted(), before, strict=True))
    assert abs(pictures - frames) <= 2  # the report is read while OBS draws
    assert mattes <= pictures + 2


@pytest.mark.slow
def test_the_benchmark_measures_with_and_without_the_filter(capsys):
    if headless_obs.missing():
        pytest.skip(headless_obs.missing())
    spec = importlib.util.spec_from_file_location("obs_overhead", BENCH)
    assert spec
    assert spec.loader
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    found = bench.measure((64, 36), rounds=1, seconds=1, fps=30)
    assert all(times.total() > 0 for scopes in found.values() for times in scopes.values())
    extra = bench.report((64, 36), found)
    assert "with the filter" in capsys.readouterr().out
    assert bench.exit_code([extra], at_most=float("inf")) == 0
    assert bench.exit_code([extra, extra + 1], at_most=extra + 0.5) == 1
