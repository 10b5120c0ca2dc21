"""What is printed can be typed."""

import os
import sys

from rvm_studio.installer import checkout, console


def test_a_command_with_spaces_can_be_typed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert console.studio_command(str(tmp_path / ".venv" / "bin")).startswith(os.path.join(".venv", "bin"))
    monkeypatch.setattr(console, "WINDOWS", False)
    command = console.studio_command(str(tmp_path / "my env"), "-o", "a b")
    assert command == "'my env/rvm-studio' -o 'a b'".replace("/", os.sep)
    monkeypatch.setattr(console, "WINDOWS", True)
    command = console.studio_command(str(tmp_path / "my env"), "info")
    assert command == '"my env/rvm-studio.exe" info'.replace("/", os.sep)


def test_install_py_is_named_with_its_interpreter(monkeypatch, tmp_path):
    """`python` in the reader's shell may be another one."""
    monkeypatch.chdir(checkout.HERE)
    monkeypatch.setattr(console, "WINDOWS", False)
    monkeypatch.setattr(sys, "executable", "/opt/my python/bin/python3")
    assert console.install_command("--obs") == "'/opt/my python/bin/python3' install.py --obs"
    monkeypatch.chdir(tmp_path)
    assert console.install_command() == f"'/opt/my python/bin/python3' {checkout.HERE / 'install.py'}"
