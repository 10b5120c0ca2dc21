"""The examples of the documentation run: those of the docstrings, with their results, and the README's."""

import doctest
import inspect
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import av
import pytest
import rvm_studio
import torch
from rvm_studio import core

ROOT = Path(core.__file__).parent.parent
ROOMS = ("cli", "errors", "evaluation", "export", "machine", "network", "pictures", "video", "weights")
SLOW = ["matte", "load", "find_network", "Session"]
SHOWN_ONLY = ["tune_process"]  # its example would tune the tests' own process


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch, make_clip):
    """A folder with the clip of the examples, and weights that need no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RVM_WEIGHTS", "starter")
    make_clip("clip.mp4", size=(64, 48), frames=12)


def is_documented(name: str) -> bool:
    """Whether it is a function or class of a room in which each of these has an example."""
    value = getattr(core, name)
    is_ours = inspect.isfunction(value) or inspect.isclass(value)
    return is_ours and value.__module__.removeprefix(core.__name__).split(".")[1] in ROOMS


NAMES = [name for name in core.__all__ if is_documented(name) and name not in SHOWN_ONLY]


@pytest.mark.parametrize("name", [*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_docstrings(name):
    (found,) = [
        test for test in doctest.DocTestFinder(recurse=False).find(getattr(core, name), name, globs={}) if test.examples
    ]
    said = []
    failed, tried = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(found, out=said.append)
    assert tried
    assert not failed, "".join(said)


class VideoCapture:
    """Stands for OpenCV's: frames [H, W, 3] BGR uint8, then (False, None)."""

    def __init__(self, path: str):
        with av.open(path) as container:
            self._frames = iter([frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)])

    def read(self):
        frame = next(self._frames, None)
        return frame is not None, frame


@pytest.mark.slow
def test_the_readme(monkeypatch):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(VideoCapture=VideoCapture))
    section = text.split("\n## From Python\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    by_call, by_session, by_opencv, by_hub = (block.replace("path/to/this/folder", str(ROOT)) for block in blocks)
    names: dict = {}
    exec(by_call, names)
    assert [path.name for path in names["report"].outputs] == ["cut.mov", "alpha.mp4"]
    exec(by_session.replace("24", "5"), names)
    assert (list(names["fgr"].shape), list(names["pha"].shape)) == ([7, 3, 48, 64], [7, 1, 48, 64])
    last = names["pha"][-1, 0]
    exec(by_opencv, names)
    assert names["alpha"].shape == (48, 64)
    assert (torch.from_numpy(names["alpha"]) - last).abs().mean() < 0.02  # not red for blue, nor another frame
    exec(by_hub, names)
    assert Path("com.mp4").stat().st_size
    assert Path("pha.mp4").stat().st_size


def test_what_the_readme_names_is_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    names = set(re.findall(r"\brvm_studio\.(\w+)", text)) - {"core"}
    assert {"matte", "load", "Session", "open_reader", "StudioError"} <= names
    assert all(hasattr(rvm_studio, name) for name in names)
