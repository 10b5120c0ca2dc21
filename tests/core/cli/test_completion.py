"""`rvm-studio completion`: the scripts, and what bash makes of one."""

import shutil
import subprocess
import sys

import pytest
from rvm_studio.core.machine.install_advice import pip_command

pytest.importorskip("shtab")


def script(shell: str) -> str:
    command = [sys.executable, "-m", "rvm_studio", "completion", shell]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_every_shell_gets_a_script(shell):
    text = script(shell)
    assert "rvm-studio" in text
    assert all(word in text for word in ("matte", "--background", "resnet50", "fetch"))


def completed(line: str, folder) -> list[str]:
    """What bash offers at the end of a line."""
    *_, before, word = ["", *line.split(" ")]
    words = line if word else f"{line}''"
    code = f"""{script("bash")}
COMP_LINE="{line}"; COMP_POINT={len(line)}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
$(complete -p rvm-studio | sed 's/.*-F \\([^ ]*\\).*/\\1/') rvm-studio "{word}" "{before}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, cwd=folder)
    return [word.strip() for word in done.stdout.split("\n") if word.strip()]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="needs bash")
def test_bash_completes(tmp_path):
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "footage").mkdir()
    assert completed("rvm-studio ma", tmp_path) == ["matte"]
    assert completed("rvm-studio weights f", tmp_path) == ["fetch"]
    assert completed("rvm-studio matte clip.mp4 --back", tmp_path) == ["--background"]
    assert completed("rvm-studio matte --variant res", tmp_path) == ["resnet50"]
    assert completed("rvm-studio matte cl", tmp_path) == ["clip.mp4"]
    assert completed("rvm-studio matte clip.mp4 -o fo", tmp_path) == ["footage"]
    assert completed("rvm-studio demo -o fo", tmp_path) == ["footage"]


def test_without_shtab_it_says_what_to_install(studio, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert studio("completion", "bash") == (
        1,
        "",
        f"rvm-studio: Shell completion needs the package shtab: {pip_command('shtab')}\n",
    )


def test_an_unknown_shell(studio):
    code, _, err = studio("completion", "fish")
    assert code == 2
    assert "invalid choice: 'fish'" in err
