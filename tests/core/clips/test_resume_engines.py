"""Resumed jobs are bit-exact in every engine, whatever is shown."""

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.clips.matte_clip import ClipOptions, matte_clip
from rvm_studio.core.engines import build, choose
from rvm_studio.core.engines.choice import openvino_problem
from rvm_studio.core.stream.session import MattingSession

from .resumed_jobs import outputs_in, raw


class Ending:
    """Wraps an engine and asks for a stop after `limit` runs."""

    def __init__(self, engine, limit):
        self.engine, self.limit, self.runs = engine, limit, 0

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def run(self, *arguments, **how):
        self.runs += 1
        return self.engine.run(*arguments, **how)

    def stopped(self):
        return self.runs >= self.limit


@pytest.fixture(
    scope="module", params=[("eager", "fp32"), ("folded", "fp32"), ("openvino", "fp32"), ("openvino", "auto")]
)
def real_engine(request):
    if request.param[0] == "openvino" and openvino_problem():
        pytest.skip(openvino_problem())
    torch.manual_seed(0)
    return build(MattingNetwork().eval(), choose(torch.device("cpu"), *request.param))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "first", "second"),
    [
        ("o.mkv", "matte", "", ""),
        ("o.mkv", "matte", "sheet", ""),
        ("o.mkv", "matte", "", "sheet"),
        ("o.mkv", "composite", "", "sheet"),
        ("o.mkv", "foreground", "preview", "sheet"),
        ("o.mov", "matte", "", "preview"),
        ("o.mkv", "alpha", "", ""),
        ("o.mkv", "alpha", "sheet", "sheet"),
    ],
)
def test_gone_on_with_in_every_engine_whatever_is_shown(real_engine, folders, clip, name, kind, first, second):
    def go(folder, shown="", limit=10**9, resume=False):
        engine = Ending(real_engine, limit)
        session = MattingSession(engine, warm_up=3, downsample_ratio=0.5)
        outputs = outputs_in(folder, (name, kind), *([("p.mp4", "preview")] if shown == "preview" else []))
        options = ClipOptions(preview=folder / "sheet.png" if shown == "sheet" else None, overwrite=True, resume=resume)
        return matte_clip(clip, outputs, session, options, stopped=engine.stopped)

    go(folders[0], first)
    assert go(folders[1], first, limit=3 + 10).stopped
    report = go(folders[1], second, resume=True)
    assert report.resumed == 10, report.notes
    assert raw(folders[1] / name) == raw(folders[0] / name)


@pytest.mark.parametrize("engine", ["eager", "folded"])
def test_other_weights_begin_anew_in_every_engine(folders, clip, engine):
    def go(seed, limit=10**9, resume=False):
        torch.manual_seed(seed)
        ending = Ending(build(MattingNetwork().eval(), choose(torch.device("cpu"), engine)), limit)
        session = MattingSession(ending, downsample_ratio=0.5)
        options = ClipOptions(resume=resume)
        return matte_clip(clip, outputs_in(folders[0], ("o.mkv", "matte")), session, options, stopped=ending.stopped)

    assert go(0, limit=5).stopped
    report = go(1, resume=True)
    assert report.resumed == 0
    assert "started over: changed since then: the weights" in report.notes
