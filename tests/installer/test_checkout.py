"""What the checkout asks for, and what its bounds mean."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rvm_studio import installer
from rvm_studio.installer import checkout, space

ROOT = Path(__file__).resolve().parents[2]


def test_the_requirements_are_read_as_a_toml_reader_does():
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for parsed, lines in (
        *((checkout.extra_requirements(name), lines) for name, lines in project["optional-dependencies"].items()),
        (checkout.core_requirements(), (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()[1:]),
    ):
        wanted = [Requirement(line) for line in lines]
        assert parsed == [(entry.name, ",".join(bounds(entry.specifier))) for entry in wanted]
    assert checkout.project_version() == project["version"]
    assert project["requires-python"] == ">={}.{}".format(*installer.OLDEST_PYTHON)
    assert "Python {}.{} to {}.{}".format(*installer.OLDEST_PYTHON, *installer.NEWEST_PYTHON) == installer.PYTHONS
    for extra in space.EXTRAS:
        assert extra in project["optional-dependencies"]


def bounds(specifiers: SpecifierSet) -> list[str]:
    return [str(specifier) for specifier in specifiers]


numbers = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
clauses = st.lists(st.tuples(st.sampled_from(["==", "!=", ">=", "<=", ">", "<"]), numbers).map("".join), max_size=3)


@given(numbers, clauses.map(",".join))
def test_bounds_mean_what_they_mean_to_pip(version, wanted):
    assert checkout.satisfies(version, wanted) == SpecifierSet(wanted).contains(version)


def test_bounds_look_past_a_build_tag():
    assert checkout.satisfies("2.4.0+cu121", ">=2.4")
    assert not checkout.satisfies("2.3.1+cpu", ">=2.4")
    assert not checkout.satisfies(None, "")
