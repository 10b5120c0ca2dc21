"""The examples of the documentation run: those of the docstrings, with their results, and those of the pages."""

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
PAGES = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch, make_clip):
    """A folder with the clip of the examples, and weights that need no network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RVM_WEIGHTS", "starter")
    make_clip("clip.mp4", size=(64, 48), frames=12)


def is_documented(name: str) -> bool:
    """Whether it is a function or class of a room in which each of these has an example."""
    value = getattr(core, name)
    if not (inspect.isfunction(value) or inspect.isclass(value)):
        return False
    outside, _, inside = value.__module__.removeprefix(core.__name__).partition(".")
    return not outside and inside.partition(".")[0] in ROOMS


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


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def python_blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page(name), re.MULTILINE | re.DOTALL)


def test_the_pages_with_examples_are_those_that_run_here():
    assert [name for name in PAGES if python_blocks(name)] == ["README.md", "docs/python.md"]


@pytest.mark.slow
def test_the_readme():
    (by_call,) = python_blocks("README.md")
    names: dict = {}
    exec(by_call, names)
    assert [path.name for path in names["report"].outputs] == ["cut.mov"]


@pytest.mark.slow
def test_the_guide(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(VideoCapture=VideoCapture))
    blocks = python_blocks("docs/python.md")
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


def test_what_the_pages_name_is_there():
    text = "".join(map(page, PAGES))
    names = set(re.findall(r"\brvm_studio\.(\w+)", text)) - {"core"}
    assert {"matte", "load", "Session", "open_reader", "StudioError", "MattingNetwork", "tune_process"} <= names
    assert all(hasattr(rvm_studio, name) for name in names)


@pytest.mark.parametrize("name", PAGES)
def test_options_that_a_page_names_exist(name):
    """Of `rvm-studio`, install.py, training/run.py, the benchmarks and the torture suite; pip and others bring more."""
    said = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", page(name))) - {
        *("--extra-index-url", "--pip-args", "--torch-backend", "--help"),
    }
    sources = [*(ROOT / "core" / "cli").glob("*.py"), ROOT / "installer" / "program.py"]
    sources += [ROOT / "training" / "run_options.py", ROOT / "training" / "data_config.py"]
    sources += [*(ROOT / "bench").glob("*.py"), ROOT / "tests" / "torture" / "run.py"]
    known = set(re.findall(r'"(--[a-z][a-z-]+)"', "".join(path.read_text(encoding="utf-8") for path in sources)))
    known |= {option.flag for option in core.OPTIONS}
    assert said <= known
