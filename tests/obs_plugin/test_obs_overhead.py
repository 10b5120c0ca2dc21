"""What the filter costs OBS's graphics thread. bench/obs_overhead.py prints the table for more sizes."""

import importlib.util
from pathlib import Path

import headless_obs
import pytest

BENCH = Path(__file__).resolve().parent.parent.parent / "bench" / "obs_overhead.py"


@pytest.mark.slow
def test_half_a_millisecond_a_frame_at_most():
    """At a size at which moving pixels costs nothing: the filter's own work."""
    if headless_obs.missing():
        pytest.skip(headless_obs.missing())
    spec = importlib.util.spec_from_file_location("obs_overhead", BENCH)
    assert spec
    assert spec.loader
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    found = bench.measure((64, 36), rounds=3, seconds=1.5, fps=30)
    bench.report((64, 36), found)
    without, filtered = (bench.percentile(found[on]["whole frame"], 0.5) for on in (False, True))
    assert found[True]["whole frame"].total() > 60
    assert without < filtered < without + 0.5
