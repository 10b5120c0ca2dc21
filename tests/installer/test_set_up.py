"""The real thing."""

import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_real_environment_is_set_up_kept_and_repaired(tmp_path, monkeypatch):
    """A venv that borrows this interpreter's torch, as ComfyUI's would have its own. Without any network."""
    checkout = tmp_path / "a checkout"
    ignored = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "tests", "shared")
    shutil.copytree(ROOT, checkout, ignore=ignored)
    environment = tmp_path / "an environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True, stdin=subprocess.DEVNULL)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    packages = next(environment.rglob("site-packages"))
    for old in packages.glob("setuptools*"):  # Python 3.10 and 3.11 put one in that is too old to build with
        shutil.rmtree(old)
    borrowed = [entry for entry in sys.path if entry.endswith("site-packages")]
    (packages / "borrowed.pth").write_text("".join(f"{path}\n" for path in borrowed), encoding="utf-8")

    def set_up(log: str, *options: str, code: int = 0) -> tuple[str, str]:
        """(what install.py printed, what pip logged)"""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "RVM_", "PYTHONPATH"))}
        env |= {"PIP_LOG": str(tmp_path / log), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
        env |= {"PIP_NO_BUILD_ISOLATION": "0"}  # "no" to the positive option behind it: use the setuptools here
        env["RVM_MODELS_DIR"] = str(tmp_path / "no models")
        command = [python, checkout / "install.py", *(options or ["--no-weights"])]
        answer = subprocess.run(command, cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, capture_output=True)
        printed, errors = answer.stdout.decode(), answer.stderr.decode()
        assert answer.returncode == code, printed + errors
        logged = tmp_path / log
        return printed, logged.read_text(encoding="utf-8") if logged.exists() else ""

    torch = metadata.version("torch")
    printed, pip = set_up("first.log")
    assert f"PyTorch {torch}" in printed
    assert "Installing collected packages: rvm-studio\n" in pip
    assert "torch" not in pip.partition("Installing collected packages")[2]
    assert not list(packages.glob("torch*"))
    place = subprocess.run(
        [python, "-c", "import rvm_studio, torch; print(rvm_studio.__file__); print(torch.__version__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert Path(place[0]) == checkout / "__init__.py"
    assert place[1].split("+")[0] == torch.split("+")[0]
    command = printed.partition("Next: ")[2].partition(" matte ")[0].strip("'\"")
    assert subprocess.run([tmp_path / command, "--version"], cwd=tmp_path, check=False).returncode == 0

    printed, pip = set_up("second.log", "--no-weights", "--obs")
    assert pip == ""
    assert str(checkout / "obs_plugin" / "rvm_obs.py") in printed
    printed, _ = set_up("check.log", "--obs", "--check", code=1)
    assert f"ok: Python {sys.version.split()[0]}, {python}" not in printed  # it got no further than to the weights
    advice = "they will be fetched at the first use."
    problem = f"The weights of mobilenetv3 are not in {tmp_path / 'no models'}: {advice} ({python})"
    assert re.findall("wrong: (.*)", printed) == [problem]

    (tmp_path / "custom_nodes").mkdir()
    checkout = checkout.rename(tmp_path / "custom_nodes" / "moved")
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))  # as ComfyUI's Manager runs it
    printed, pip = set_up("third.log")
    assert "Next: restart ComfyUI." in printed
    assert f"installing from {checkout}" in printed
    assert "Installing collected packages: rvm-studio\n" in pip
