"""What the command line says on standard error: every note of the core, and one line for whatever went wrong."""

import importlib
import json
import logging
import pkgutil

import pytest
import rvm_studio.core
from rvm_studio.core.cli.errors import NoteHandler, report_failure, show_notes
from rvm_studio.core.errors import StudioError

CORE = rvm_studio.core.__name__


@pytest.fixture(autouse=True)
def log():
    """The core's logger as nobody has used it yet."""
    log = logging.getLogger(CORE)
    before = list(log.handlers), log.level
    log.handlers, log.level = [], logging.NOTSET
    yield log
    log.handlers, log.level = before


@pytest.mark.parametrize("name", [CORE, f"{CORE}.module", f"{CORE}.room.module", f"{CORE}.room.inner.module"])
def test_notes_are_shown_from_whatever_folder_of_the_core(capsys, name):
    show_notes(quiet=False)
    logging.getLogger(name).warning("%s of %s", "one", "two")
    logging.getLogger(name).info("compiling")
    assert capsys.readouterr() == ("", "note: one of two\ncompiling\n")


def test_the_loggers_of_all_modules_are_among_them(capsys):
    names = []
    for info in pkgutil.walk_packages(rvm_studio.core.__path__, f"{CORE}."):
        if info.name.rpartition(".")[2] == "triton_kernels":  # imports what only a card has
            continue
        found = [value for value in vars(importlib.import_module(info.name)).values() if type(value) is logging.Logger]
        names += [logger.name for logger in found]
    assert len(names) > 8
    show_notes(quiet=False)
    for name in names:
        logging.getLogger(name).warning("from %s", name)
    assert capsys.readouterr().err.splitlines() == [f"note: from {name}" for name in names]


def test_other_packages_keep_their_notes(capsys, monkeypatch):
    monkeypatch.setattr(logging, "lastResort", None)
    show_notes(quiet=False)
    logging.getLogger("rvm_studio").warning("from outside")
    logging.getLogger("another.package").warning("from elsewhere")
    assert capsys.readouterr().err == ""


def test_quiet_keeps_errors_only(capsys):
    show_notes(quiet=True)
    for level in (logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger(f"{CORE}.module").log(level, "level %d", level)
    assert capsys.readouterr().err == f"note: level {logging.ERROR}\n"


def test_asking_twice_says_things_once(capsys, log):
    show_notes(quiet=True)
    show_notes(quiet=False)
    assert [type(handler) for handler in log.handlers] == [NoteHandler]
    log.warning("once")
    assert capsys.readouterr().err == "note: once\n"


def test_a_clear_error_is_one_line(capsys, monkeypatch):
    monkeypatch.delenv("RVM_DEBUG", raising=False)
    report_failure(StudioError("The disk is full. Make room."), as_json=False)
    assert capsys.readouterr() == ("", "rvm-studio: The disk is full. Make room.\n")


def test_a_fault_of_ours_names_its_kind_and_what_to_report(capsys, monkeypatch):
    monkeypatch.delenv("RVM_DEBUG", raising=False)
    report_failure(KeyError("r1"), as_json=False)
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "KeyError: 'r1'" in err
    assert "RVM_DEBUG=1" in err


@pytest.mark.parametrize("source", [None, "in.mp4"])
def test_json_has_the_failure_as_an_event_too(capsys, monkeypatch, source):
    monkeypatch.delenv("RVM_DEBUG", raising=False)
    report_failure(StudioError("It is no video."), as_json=True, source=source)
    out, err = capsys.readouterr()
    assert json.loads(out) == {"event": "error", "input": source, "message": "It is no video."}
    assert out.count("\n") == 1
    assert err == "rvm-studio: It is no video.\n"


def test_the_traceback_comes_before_the_line_where_it_is_wanted(capsys, monkeypatch):
    monkeypatch.setenv("RVM_DEBUG", "1")
    try:
        raise StudioError("Too small.")
    except StudioError as error:
        report_failure(error, as_json=False)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert any("test_errors.py" in line for line in lines)
    assert lines[-1] == "rvm-studio: Too small."
