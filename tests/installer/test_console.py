"""What is printed can be typed."""

import os

from rvm_studio.installer import console


def test_a_command_with_spaces_can_be_typed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert console.studio_command(str(tmp_path / ".venv" / "bin")).startswith(os.path.join(".venv", "bin"))
    monkeypatch.setattr(console, "WINDOWS", False)
    assert console.studio_command(str(tmp_path / "my env")) == "'my env/rvm-studio'".replace("/", os.sep)
