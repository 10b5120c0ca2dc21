"""Which Python the script finds, and how it would start the worker, on each system by stand-ins; really on this one."""

import ast
import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import rvm_environment

FOLDER = Path(rvm_environment.__file__).parent


@pytest.fixture(autouse=True)
def plain_variables(monkeypatch):
    for name in ("RVM_PYTHON", "SNAP"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def checkout(tmp_path):
    """A checkout's script folder, without an environment."""
    (tmp_path / "studio" / "obs_plugin").mkdir(parents=True)
    return tmp_path / "studio" / "obs_plugin"


def make_file(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return str(path)


def note(folder: Path, **notes) -> None:
    (folder / rvm_environment.NOTES).write_text(json.dumps(notes), encoding="utf-8")


@pytest.mark.parametrize(
    ("platform", "path"), [("linux", "bin/python"), ("darwin", "bin/python"), ("win32", "Scripts/python.exe")]
)
def test_the_order_of_the_places(monkeypatch, checkout, tmp_path, platform, path):
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(RuntimeError, match="There is no Python at"):
        rvm_environment.find_python(str(checkout))
    own = make_file(checkout.parent / ".venv" / path)
    assert rvm_environment.find_python(str(checkout)) == own
    noted = make_file(tmp_path / "another folder" / path)
    note(checkout, python=noted)
    assert rvm_environment.find_python(str(checkout)) == noted
    named = make_file(tmp_path / "named" / path)
    monkeypatch.setenv("RVM_PYTHON", named)
    assert rvm_environment.find_python(str(checkout)) == named


def test_a_variable_that_names_nothing_is_not_passed_over(monkeypatch, checkout, tmp_path):
    make_file(checkout.parent / ".venv" / "bin" / "python")
    monkeypatch.setenv("RVM_PYTHON", str(tmp_path / "gone"))
    with pytest.raises(RuntimeError, match=r"RVM_PYTHON is .*gone, which does not exist"):
        rvm_environment.find_python(str(checkout))


def test_a_noted_python_that_is_gone_gives_way_to_the_checkouts(monkeypatch, checkout, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    note(checkout, python=str(tmp_path / "gone" / "python"))
    own = make_file(checkout.parent / ".venv" / "bin" / "python")
    assert rvm_environment.find_python(str(checkout)) == own


@pytest.mark.parametrize(("platform", "python"), [("linux", "python3"), ("darwin", "python3"), ("win32", "py")])
def test_what_it_says_when_there_is_none(monkeypatch, checkout, tmp_path, platform, python):
    monkeypatch.setattr(sys, "platform", platform)
    gone = str(tmp_path / "gone" / "python")
    note(checkout, python=gone)
    with pytest.raises(RuntimeError, match=r"Run install\.py --obs in RVM Studio's folder") as caught:
        rvm_environment.find_python(str(checkout))
    assert gone in str(caught.value)
    assert str(checkout.parent / ".venv") in str(caught.value)
    installer = make_file(checkout.parent / "install.py")
    with pytest.raises(RuntimeError) as caught:
        rvm_environment.find_python(str(checkout))
    assert str(caught.value).endswith(f': {python} "{installer}" --obs')


@pytest.mark.parametrize("sandbox", ["Flatpak", "Snap"])
def test_a_sandbox_is_named(monkeypatch, checkout, sandbox):
    if sandbox == "Snap":
        monkeypatch.setenv("SNAP", "/snap/obs-studio/1")
    else:
        exists = os.path.exists
        monkeypatch.setattr(os.path, "exists", lambda path: path == "/.flatpak-info" or exists(path))
    with pytest.raises(RuntimeError, match=f"this OBS is a {sandbox}"):
        rvm_environment.find_python(str(checkout))


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_linked_folder_belongs_to_the_checkout_it_lies_in(checkout, tmp_path):
    own = make_file(checkout.parent / ".venv" / "bin" / "python")
    (tmp_path / "scripts").symlink_to(checkout)
    assert rvm_environment.find_python(str(tmp_path / "scripts")) == own


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '"a"', "null", '{"python": 3}', "[" * 100_000, '{"python": "\\u0000"}']
)
def test_notes_that_make_no_sense_count_as_none(checkout, text):
    (checkout / rvm_environment.NOTES).write_text(text)
    with pytest.raises(RuntimeError, match="There is no Python"):
        rvm_environment.find_python(str(checkout))


def test_notes_that_are_no_text_count_as_none(checkout):
    (checkout / rvm_environment.NOTES).write_bytes(b"\xff\xfe\x00")
    assert rvm_environment.read_notes(str(checkout)) == {}


# ---- the command


FOREIGN = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PythonUtf8", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")


def test_nothing_of_another_python_goes_along(monkeypatch):
    for name in FOREIGN:
        monkeypatch.setenv(name, "/somewhere")
    monkeypatch.setenv("KEPT", "as it is")
    monkeypatch.setattr(sys, "executable", "/usr/bin/obs")
    argv, env, options = rvm_environment.worker_command("/env/bin/python", "fd:1:2:3")
    assert argv == ["/env/bin/python", "-u", str(FOLDER / "rvm_worker.py"), "fd:1:2:3"]
    assert Path(argv[2]).is_file()
    assert not set(FOREIGN) & set(env)
    assert env["KEPT"] == "as it is"
    assert os.environ["PYTHONHOME"] == "/somewhere"
    assert options["cwd"] == str(FOLDER)


def test_windows_gets_no_console_window(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    flags = rvm_environment.worker_command("python.exe", "tag")[2]["creationflags"]
    assert flags == 0x08000000 | 0x4000  # CREATE_NO_WINDOW, BELOW_NORMAL_PRIORITY_CLASS of winbase.h
    for platform in ("linux", "darwin"):
        monkeypatch.setattr(sys, "platform", platform)
        assert set(rvm_environment.worker_command("python", "tag")[2]) == {"cwd"}


def test_what_was_noted_is_set_unless_it_is_set_already(monkeypatch):
    notes = {
        "variables": {"RVM_WEIGHTS": "noted.pth", "RVM_MODELS_DIR": "noted", "PYTHONPATH": "evil", "RVM_MIRROR": 3}
    }
    monkeypatch.setattr(rvm_environment, "read_notes", lambda folder: notes if folder == str(FOLDER) else {})
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    monkeypatch.delenv("RVM_MIRROR", raising=False)
    monkeypatch.setenv("RVM_MODELS_DIR", "set")
    env = rvm_environment.worker_command("python", "tag")[1]
    assert env["RVM_WEIGHTS"] == "noted.pth"
    assert env["RVM_MODELS_DIR"] == "set"
    assert "RVM_MIRROR" not in env
    assert env.get("PYTHONPATH") != "evil"


def test_another_interpreter_really_starts_and_sees_its_own_modules(monkeypatch, tmp_path):
    """Under the variables that OBS's Python, or a streamer's shell, may leave behind."""
    venv.create(tmp_path / "an environment", symlinks=os.name != "nt")
    python = rvm_environment.venv_python(str(tmp_path / "an environment"))
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))  # no Python starts with this
    monkeypatch.setenv("PYTHONPATH", sysconfig.get_path("purelib"))
    argv, env, options = rvm_environment.worker_command(python)
    code = "import os, sys; print(os.getcwd(), sys.prefix, sys.path[1:], sep='\\n')"
    done = subprocess.run([argv[0], "-c", code], env=env, capture_output=True, text=True, check=True, **options)
    folder, prefix, path = done.stdout.splitlines()
    assert os.path.samefile(folder, FOLDER)
    assert os.path.samefile(prefix, tmp_path / "an environment")
    assert sysconfig.get_path("purelib") not in path


@pytest.mark.parametrize("name", ["rvm_environment", "rvm_frame_protocol", "rvm_obs", "rvm_supervisor"])
def test_what_runs_in_obs_is_written_for_its_oldest_python(name):
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"), feature_version=(3, 6))
    imported = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    } | {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    known = set(sys.stdlib_module_names) | {"obspython"}
    assert all(module in known or (FOLDER / f"{module}.py").is_file() for module in imported)
