"""The order of the core's rooms: each imports only from those below it, and from none beside it."""

from pathlib import Path

import pytest

from ..import_graph import CORE, arrows, floors

LAYERS = (
    {"cli"},
    {"clips", "evaluation", "export"},
    {"stream"},
    {"engines"},
    {"weights"},
    {"network", "pictures", "video"},
    {"machine"},
    {"errors"},
)
HEIGHT = {room: -number for number, rooms in enumerate(LAYERS) for room in rooms}


def test_every_room_has_its_layer():
    rooms = {path.stem for path in CORE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == set(HEIGHT)


@pytest.mark.slow
def test_imports_go_down():
    assert [arrow for arrow in sorted(arrows()) if HEIGHT[arrow[0]] <= HEIGHT[arrow[1]]] == []


def test_video_and_pictures_need_no_network():
    found = arrows(types=True)
    for room in ("video", "pictures"):
        assert {target for source, target in found if source == room} <= {"machine", "errors"}


def write(core: Path, **sources: str) -> Path:
    for name, source in sources.items():
        folder = core / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        (folder / "module.py").write_text(source, encoding="utf-8")
    (core / "__init__.py").write_text("from .a.module import x", encoding="utf-8")
    return core


def test_the_graph_counts_every_way_to_import(tmp_path):
    core = write(
        tmp_path,
        a="from ..b import module\nfrom ..b.module import x\ndef f():\n    from .. import c\nfrom . import other",
        b="import os\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..c.module import y",
        c="from ... import outside",
    )
    assert arrows(core) == {("a", "b"): 2, ("a", "c"): 1}
    assert arrows(core, types=True) == {("a", "b"): 2, ("a", "c"): 1, ("b", "c"): 1}
    assert floors(arrows(core)) == [["b", "c"], ["a"]]


def test_a_circle_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="a circle of imports among a, b"):
        floors(arrows(write(tmp_path, a="from ..b.module import x", b="from ..a.module import y")))
