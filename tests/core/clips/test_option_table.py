"""The table of options against the doors that are made of it or promise it: the command line, Python and the page. (The
nodes and the OBS filter are compared in their own folders.)"""

import argparse
import importlib.util
import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from rvm_studio import core
from rvm_studio.core.cli.matte_options import add_options, keywords
from rvm_studio.core.clips.option_form import SAME
from rvm_studio.core.clips.option_table import GROUPS, OPTIONS, option_of, options_of

ROOT = Path(core.__file__).parent.parent
NOT_OPTIONS = {"source", "progress", "stopped", "edges"}  # of `matte`: objects, and the holder of the edges' options


def in_python() -> dict[str, object]:
    """keyword -> default of everything that `matte` can be given."""
    parameters = inspect.signature(core.matte).parameters
    found = {name: parameter.default for name, parameter in parameters.items() if name not in NOT_OPTIONS}
    return found | {f"edges.{field.name}": field.default for field in fields(core.EdgeOptions)}


def test_python_has_what_is_promised_and_nothing_else():
    promised = {}
    for option in OPTIONS:
        if option.keyword:
            promised[option.keyword] = option.default if option.python_default is SAME else option.python_default
    assert promised == in_python()


def test_the_edges_ranges_are_the_cores():
    for option in OPTIONS:
        room, _, name = (option.keyword or "").rpartition(".")
        if room == "edges":
            assert option.low is not None
            assert option.high is not None
            for value in (option.low, option.high):
                others = {"white_point": 1.0} if name == "black_point" else {"black_point": 0.0}
                if name in ("black_point", "white_point") and value == (1 if name == "black_point" else 0):
                    continue  # the two may not meet
                core.EdgeOptions(**{name: value, **others})
            for value in (option.low - 0.01, option.high + 0.01):
                with pytest.raises(core.StudioError):
                    core.EdgeOptions(**{name: value})


def test_the_command_line_is_made_of_it():
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    actions = [action for action in parser._actions if action.option_strings and action.dest != "help"]
    rows = [option for group in GROUPS for option in options_of(group)]
    assert [action.option_strings[-1] for action in actions] == [option.flag for option in rows]
    assert [action.default for action in actions] == [option.default for option in rows]
    assert {option.group for option in OPTIONS} <= set(GROUPS)
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)


def test_newcomers_see_at_most_ten_options_first():
    assert next(iter(GROUPS)) == "first"
    assert 5 <= len(options_of("first")) <= 10


def test_the_defaults_give_pythons_defaults():
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    given, edges = keywords(parser.parse_args(["clip.mp4"]))
    defaults = in_python()
    assert given == {name: defaults[name] for name in given}
    assert edges == {}
    given, edges = keywords(parser.parse_args(["clip.mp4", "--shift=-2", "--no-audio", "--gamma", "2"]))
    assert edges == {"grow": -2, "gamma": 2}
    assert given["keep_audio"] is False


def test_it_loads_nothing_large():
    code = (
        "import sys\nfrom rvm_studio.core.clips import option_table\n"
        "print(sorted({'torch', 'numpy', 'av', 'PIL'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_a_row_by_its_name():
    assert option_of("grow").flag == "--shift"


def test_the_page_is_current():
    spec = importlib.util.spec_from_file_location("write_options", ROOT / "docs" / "write_options.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run `python docs/write_options.py`"
