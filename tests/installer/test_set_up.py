"""The real thing."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import av
import pytest

ROOT = Path(__file__).resolve().parents[2]


class Place(NamedTuple):
    """A checkout of its own, and an environment that borrows this interpreter's packages, as ComfyUI's would have its
    own. Without any network."""

    folder: Path
    checkout: Path
    python: Path
    packages: Path

    def run(self, log: str, *options: str, code: int = 0) -> tuple[str, str, str]:
        """install.py with these options: (what it printed, its errors, what pip logged)."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "RVM_", "PYTHONPATH"))}
        env |= {"PIP_LOG": str(self.folder / log), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
        env |= {"PIP_NO_BUILD_ISOLATION": "0"}  # "no" to the positive option behind it: use the setuptools here
        env["RVM_MODELS_DIR"] = str(self.folder / "no models")
        command = [self.python, self.checkout / "install.py", *(options or ["--no-weights"])]
        answer = subprocess.run(command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, capture_output=True)
        printed, errors = answer.stdout.decode(), answer.stderr.decode()
        assert answer.returncode == code, printed + errors
        logged = self.folder / log
        return printed, errors, logged.read_text(encoding="utf-8") if logged.exists() else ""


@pytest.fixture
def place(tmp_path) -> Place:
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
    return Place(tmp_path, checkout, python, packages)


def stand_in_for_av(packages: Path) -> None:
    """PyAV, but that it opens nothing: an import finds no fault with it."""
    real = Path(av.__file__)
    stand_in = packages / "av" / "__init__.py"
    stand_in.parent.mkdir()
    stand_in.write_text(
        f"__path__ = [{str(real.parent)!r}]\n__file__ = {str(real)!r}\n"
        f"exec(compile(open({str(real)!r}, encoding='utf-8').read(), {str(real)!r}, 'exec'))\n"
        "def open(*_, **__):\n    raise RuntimeError('a codec library is not what it should be')\n",
        encoding="utf-8",
    )


@pytest.mark.slow
def test_what_does_not_matte_is_not_ready(place):
    """All packages are there and import; that is not enough."""
    stand_in_for_av(place.packages)
    printed, errors, _ = place.run("broken.log", "--no-weights", "--demo", code=1)
    assert "[6/6] Check: matting two frames of the sample" in printed
    assert "Ready" not in printed
    assert "Matted" not in printed  # the demo does not start
    assert errors.splitlines()[-1] == (
        "install.py: everything is installed, but decoding does not work: RuntimeError: a codec library is not what it "
        "should be"
    )


@pytest.mark.slow
def test_a_real_environment_is_set_up_kept_and_repaired(place, tmp_path, monkeypatch):
    checkout, python, packages = place.checkout, place.python, place.packages
    torch = metadata.version("torch")
    printed, _, pip = place.run("first.log")
    assert f"PyTorch {torch}" in printed
    assert "Ready" in printed
    assert "Installing collected packages: rvm-studio\n" in pip
    assert "torch" not in pip.partition("Installing collected packages")[2]
    assert not list(packages.glob("torch*"))
    where = subprocess.run(
        [python, "-c", "import rvm_studio, torch; print(rvm_studio.__file__); print(torch.__version__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert Path(where[0]) == checkout / "__init__.py"
    assert where[1].split("+")[0] == torch.split("+")[0]
    command = shlex.split(printed.partition("Next: ")[2], posix=os.name != "nt")
    assert command[-2:] == ["--weights", "starter"]  # no others are there
    subprocess.run([word.strip('"') for word in command], cwd=tmp_path, check=True, stdin=subprocess.DEVNULL)
    assert (tmp_path / "matte.mov").is_file()

    printed, _, pip = place.run("second.log", "--no-weights", "--obs")
    assert pip == ""
    assert str(checkout / "obs_plugin" / "rvm_obs.py") in printed
    printed, _, _ = place.run("check.log", "--obs", "--check", code=1)
    assert f"ok: Python {sys.version.split()[0]}, {python}" not in printed  # it stops at the weights
    advice = "they will be downloaded on first use."
    problem = f"The weights of mobilenetv3 are not in {tmp_path / 'no models'}: {advice} ({python})"
    assert re.findall("problem: (.*)", printed) == [problem]

    (tmp_path / "custom_nodes").mkdir()
    checkout = checkout.rename(tmp_path / "custom_nodes" / "moved")
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))  # as ComfyUI's Manager runs it
    place = place._replace(checkout=checkout)
    printed, _, pip = place.run("third.log")
    assert "Next: restart ComfyUI." in printed
    assert f"installing from {checkout}" in printed
    assert "Installing collected packages: rvm-studio\n" in pip
