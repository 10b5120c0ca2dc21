"""The script for OBS: made ready, and checked."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from rvm_studio.installer import checkout, environment, obs, program

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def obs_checkout(monkeypatch, tmp_path):
    """A folder with the script, as HERE; no OBS, no variables."""
    monkeypatch.setattr(checkout, "HERE", tmp_path / "studio")
    ignored = shutil.ignore_patterns("__pycache__", "*.json")
    shutil.copytree(ROOT / "obs_plugin", tmp_path / "studio" / "obs_plugin", ignore=ignored)
    for name in ("RVM_WEIGHTS", "RVM_MODELS_DIR", "RVM_MIRROR", "RVM_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    for name in ("APPDATA", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "config"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return tmp_path / "studio"


def obs_was_started(tmp_path: Path, version: tuple, python: str = "", file: str = "global.ini") -> None:
    number = version[0] << 24 | version[1] << 16 | version[2]
    text = f"[General]\r\nFirstRun=true\r\nLastVersion={number}\r\n\r\n" + (
        f"[Python]\r\nPath64bit={python}\r\n" if python else ""
    )
    for folder in (tmp_path / "config", tmp_path / "home" / "Library" / "Application Support"):
        (folder / "obs-studio").mkdir(parents=True, exist_ok=True)
        (folder / "obs-studio" / file).write_text(text, encoding="utf-8-sig", newline="")


def bring_python(folder: Path, system: str, *minors: int) -> Path:
    """What OBS looks for in a folder."""
    for minor in minors:
        library = f"python3{minor}.dll"
        if system == "Darwin":
            library = f"Python.framework/Versions/3.{minor}/lib/libpython3.{minor}.dylib"
        (folder / library).parent.mkdir(parents=True, exist_ok=True)
        (folder / library).touch()
    (folder / "python3.dll").touch()  # lies beside python3x.dll and is none
    return folder


def fake_worker(monkeypatch, answer: str) -> list:
    calls = []

    def run(command, **options):
        calls.append((command, options))
        return SimpleNamespace(stdout=answer.encode(), returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    return calls


FINE = '{"python": "3.11.7", "device": "CPU", "weights": "w.safetensors", "engine": "openvino", "precision": "fp32"}'


def test_the_obs_script_is_made_ready(monkeypatch, obs_checkout, tmp_path, capsys, bare_venv, on_system):
    on_system("Linux", "x86_64")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RVM_WEIGHTS", "here/w.pth")
    monkeypatch.setenv("RVM_MIRROR", "https://mirror/x")
    python = bare_venv(tmp_path / "an environment")
    obs.prepare_obs(environment.Target(python, "an environment"))
    printed = capsys.readouterr().out
    assert str(obs_checkout / "obs_plugin" / "rvm_obs.py") in printed
    assert "Python Settings" not in printed
    script = obs.obs_environment()
    assert script.find_python(str(obs_checkout / "obs_plugin")) == str(python)
    monkeypatch.delenv("RVM_WEIGHTS")  # as for an OBS started from a menu
    monkeypatch.delenv("RVM_MIRROR")
    env = script.worker_command(str(python), "arena")[1]
    assert env["RVM_WEIGHTS"] == str(tmp_path / "here" / "w.pth")
    assert env["RVM_MIRROR"] == "https://mirror/x"
    assert not list((obs_checkout / "obs_plugin").glob("*.partial"))


def test_what_is_noted_is_what_is_checked(monkeypatch, obs_checkout, tmp_path, capsys, bare_venv, on_system):
    on_system("Linux", "x86_64")
    obs.prepare_obs(environment.Target(bare_venv(tmp_path / "env"), "env"))
    calls = fake_worker(monkeypatch, "chatter\n" + FINE + "\n")
    assert program.main(["--obs", "--check"]) == 0
    printed = capsys.readouterr().out
    assert "No problems found." in printed
    assert "problem:" not in printed
    assert "ok: mattes on CPU, openvino fp32, with w.safetensors" in printed
    ((command, options),) = calls
    assert command[1:] == ["-u", str(obs_checkout / "obs_plugin" / "rvm_worker.py"), "--check"]
    assert command[0].startswith(str(tmp_path / "env"))
    assert options["stdin"] == subprocess.DEVNULL


def lose_a_file(folder, python):
    (folder / "rvm_filter.lua").unlink()
    return r"rvm_filter\.lua: missing in .*obs_plugin"


def change_a_file(folder, python):
    with (folder / "rvm_filter.effect").open("a") as file:
        file.write("\n")
    return r"problem: rvm_filter\.effect: changed since"


def add_a_file(folder, python):
    (folder / "rvm_new.py").touch()
    return r"problem: rvm_new\.py: changed since"


def lose_the_notes(folder, python):
    (folder / "rvm_environment.json").unlink()
    return "the script has not been prepared,"


def spoil_the_notes(folder, python):
    (folder / "rvm_environment.json").write_text("{")
    return "its notes cannot be read"


def lose_the_interpreter(folder, python):
    python.unlink()
    return rf"problem: There is no Python at {re.escape(str(python))}"


@pytest.mark.parametrize(
    "damage", [lose_a_file, change_a_file, add_a_file, lose_the_notes, spoil_the_notes, lose_the_interpreter]
)
def test_the_check_finds(monkeypatch, obs_checkout, tmp_path, capsys, damage, bare_venv, on_system):
    on_system("Linux", "x86_64")
    python = bare_venv(tmp_path / "env")
    obs.prepare_obs(environment.Target(python, "env"))
    expected = damage(obs_checkout / "obs_plugin", python)
    fake_worker(monkeypatch, FINE)
    assert program.main(["--obs", "--check"]) == 1
    printed = capsys.readouterr().out
    assert re.search(expected, printed)
    assert re.search(r"^\d problems? found\.$", printed, re.MULTILINE)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ('{"error": "The weights are gone."}', "problem: The weights are gone. ("),
        ("", "cannot run the worker (Expecting value"),
        ("Traceback\nSomeError: x", "cannot run the worker (Expecting value"),
    ],
)
def test_the_check_passes_on_what_the_worker_says(
    monkeypatch, obs_checkout, tmp_path, capsys, answer, text, bare_venv, on_system
):
    on_system("Linux", "x86_64")
    obs.prepare_obs(environment.Target(bare_venv(tmp_path / "env"), "env"))
    fake_worker(monkeypatch, answer)
    assert program.main(["--obs", "--check"]) == 1
    assert text in capsys.readouterr().out


def test_an_environment_without_the_package_is_found_out(obs_checkout, tmp_path, capsys, bare_venv, on_system):
    """Really: a venv that has nothing runs the worker."""
    on_system("Linux", "x86_64")
    obs.prepare_obs(environment.Target(bare_venv(tmp_path / "env"), "env"))
    assert program.main(["--obs", "--check"]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"problem: The Python at \S+ cannot load RVM Studio: No module named", printed)
    assert "1 problem found." in printed


@pytest.mark.skipif(os.name == "nt", reason="the fake Python is a shell script")
def test_a_python_that_does_not_start_is_found_out(obs_checkout, tmp_path, capsys, on_system):
    on_system("Linux", "x86_64")
    python = tmp_path / "python"
    python.write_text("no program")
    obs.prepare_obs(environment.Target(python, "env"))
    assert program.main(["--obs", "--check"]) == 1
    assert f"problem: {python} cannot run the worker" in capsys.readouterr().out


def test_a_folder_without_the_script_is_one_clear_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(checkout, "HERE", tmp_path)
    assert program.main(["--obs", "--check"]) == 1
    assert "rvm_environment.py is missing" in capsys.readouterr().err


@pytest.mark.parametrize("system", ["Windows", "Darwin"])
@pytest.mark.parametrize(
    ("started", "minors", "problem"),
    [
        ((29, 1, 3), [10], ""),
        ((29, 1, 3), [11], r"has Python 3\.11\. OBS 29\.1 loads Python 3\.6 to 3\.10\."),
        ((30, 0, 0), [11], ""),
        ((30, 1, 2), [12], r"has Python 3\.12\. OBS 30\.1 loads Python 3\.6 to 3\.11\."),
        ((30, 2, 0), [12], ""),
        ((32, 1, 0), [13], r"has Python 3\.13\. OBS 32\.1 loads Python 3\.6 to 3\.12\."),
        ((32, 1, 0), [5], r"has Python 3\.5\. "),
        ((31, 0, 0), [9, 13], ""),
        ((31, 0, 0), [], "has no Python that OBS can load"),
        ((31, 0, 0), None, r"no Python is chosen in OBS \(Tools > Scripts > Python Settings\)"),
    ],
)
def test_obs_and_its_python_fit(obs_checkout, tmp_path, system, started, minors, problem, on_system):
    on_system(system, "arm64")
    chosen = bring_python(tmp_path / "chosen", system, *minors) if minors else tmp_path
    obs_was_started(tmp_path, started, "" if minors is None else chosen.as_posix())
    problems = obs.obs_problems()
    assert len(problems) == bool(problem)
    assert re.search(problem, "".join(problems))


def test_the_newest_obs_and_its_own_file_count(obs_checkout, tmp_path, on_system):
    on_system("Windows", "AMD64")
    assert obs.obs_version() is None
    assert obs.obs_problems() == []
    obs_was_started(tmp_path, (30, 1, 0), "C:/old")
    obs_was_started(tmp_path, (31, 1, 2), "C:\\\\new\\\\folder", "user.ini")
    assert obs.obs_version() == (31, 1)
    assert "C:\\new\\folder, has no Python" in obs.obs_problems()[0]


def test_on_linux_obs_brings_its_python(obs_checkout, tmp_path, capsys, on_system):
    on_system("Linux", "x86_64")
    obs_was_started(tmp_path, (29, 0, 2))
    assert obs.obs_problems() == []
    assert "ok: OBS 29.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("system", "base", "place"),
    [
        ("Windows", "Python311", "Python311"),
        ("Darwin", "Frameworks/Python.framework/Versions/3.11", "Frameworks"),
        ("Darwin", "opt/python@3.11/Frameworks/Python.framework/Versions/3.11", "opt/python@3.11/Frameworks"),
    ],
)
def test_the_folder_for_obss_python_settings(
    monkeypatch, obs_checkout, tmp_path, capsys, system, base, place, on_system
):
    on_system(system, "arm64")
    (tmp_path / base).mkdir(parents=True)
    bring_python(tmp_path / place, system, 11)
    who = {"version": [3, 11, 9], "base": str(tmp_path / base)}
    assert obs.python_for_obs(who) == f"choose {tmp_path / place} (Python 3.11)"
    monkeypatch.setattr(obs, "identify", lambda python: who)
    obs.prepare_obs(environment.Target(tmp_path / "python", "env"))
    printed = capsys.readouterr().out
    assert f"  1. once, Tools > Scripts > Python Settings: choose {tmp_path / place}" in printed
    assert "  3. right-click" in printed


@pytest.mark.parametrize(
    ("version", "started", "newest"),
    [((3, 13), None, "3.12"), ((3, 11), (29, 1, 0), "3.10"), ((3, 12), (30, 1, 0), "3.11")],
)
def test_a_python_that_is_too_new_for_obs(obs_checkout, tmp_path, version, started, newest, on_system):
    on_system("Windows", "AMD64")
    bring_python(tmp_path / "base", "Windows", version[1])
    if started:
        obs_was_started(tmp_path, started)
    text = obs.python_for_obs({"version": [*version, 1], "base": str(tmp_path / "base")})
    assert f"python.org, {newest} at most" in text


def test_a_python_without_a_library_is_not_recommended(obs_checkout, tmp_path, on_system):
    on_system("Darwin", "arm64")
    assert "python.org" in obs.python_for_obs({"version": [3, 11, 1], "base": str(tmp_path)})  # pyenv's, say
