"""The probe, in real little environments."""

import importlib.util
from importlib import metadata
from pathlib import Path

import pytest
from rvm_studio.installer import checkout, console, installed


def test_the_probe_sees_what_is_missing_broken_and_there(tmp_path, bare_venv):
    python = bare_venv(tmp_path / "env")
    packages = next((tmp_path / "env").rglob("site-packages"))

    def distribution(name: str, version: str, files: dict[str, str]) -> None:
        info = packages / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        for file, text in files.items():
            (packages / file).parent.mkdir(exist_ok=True)
            (packages / file).write_text(text)

    distribution("torch", "2.5.0", {"torch/__init__.py": "__version__ = '2.5.0+cu124'\nfrom . import version\n"})
    (packages / "torch" / "version.py").write_text("cuda = '12.4'\n")
    distribution("torchvision", "0.20.0", {"torchvision/__init__.py": "raise SystemExit", "torchvision/a.py": ""})
    (packages / "torchvision" / "a.py").unlink()
    distribution("numpy", "2.0.0", {"numpy/__init__.py": "print('chatter')\n"})
    distribution("pillow", "11.0.0", {"PIL/__init__.py": "raise ImportError('no _imaging\\nmore')\n"})
    distribution("ruff", "0.17.6", {"ruff/__init__.py": ""})
    state = installed.look_into(python)
    assert state.versions["torch"] == "2.5.0+cu124"
    assert state.cuda == "12.4"
    assert state.versions["numpy"] == "2.0.0"
    assert state.versions["av"] is None
    assert state.broken == {
        "pillow": "ImportError: no _imaging",
        "torchvision": "FileNotFoundError: some of its files are missing",
    }
    assert state.versions["ruff"] == "0.17.6"
    assert state.versions["pytest"] is None
    assert state.editable is None
    assert Path(state.prefix) == tmp_path / "env"

    (packages / "torch" / "__init__.py").write_text("import os; os._exit(3)")  # as a crash in a library would
    with pytest.raises(console.InstallError, match="exit 3"):
        installed.look_into(python)


@pytest.mark.parametrize("name", [name for name, _ in checkout.core_requirements()])
def test_each_package_is_looked_for_under_the_name_of_its_module(name):
    metadata.distribution(name)
    assert importlib.util.find_spec(installed.module_of(name))


def test_a_torch_without_metadata_is_seen(tmp_path, bare_venv):
    python = bare_venv(tmp_path / "env")
    packages = next((tmp_path / "env").rglob("site-packages"))
    (packages / "torch").mkdir()
    (packages / "torch" / "__init__.py").write_text("__version__ = '2.6.0'\nfrom . import version\n")
    (packages / "torch" / "version.py").write_text("cuda = None\n")
    state = installed.look_into(python)
    assert state.versions["torch"] == "2.6.0"
    assert state.broken == {}
