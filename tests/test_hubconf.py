"""The entries for PyTorch Hub, loaded from this checkout as anybody would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
MATTE = """
import sys, torch
sys.path[:] = [p for p in sys.path if not p.endswith("not-a-real-folder")]
network = torch.hub.load(sys.argv[1], "mobilenetv3", source="local", weights=sys.argv[2])
fgr, pha, rec = network(torch.rand(1, 3, 65, 97), None, 0.5)
fgr, pha, rec = network(torch.rand(1, 3, 65, 97), rec, 0.5)
print(type(network).__module__, *pha.shape)
"""


def run(code, *arguments, isolated=False) -> str:
    """In a fresh interpreter; isolated: one that does not know the installed package, as after a plain clone."""
    if isolated:
        blocked = "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        code = blocked + code
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=os.environ, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("isolated", [False, True])
def test_loads_from_a_checkout(reference_weights, isolated):
    module, *shape = run(MATTE, ROOT, reference_weights, isolated=isolated).split()
    assert shape == ["1", "1", "65", "97"]
    assert module.endswith(".core.network.matting_network")


@pytest.mark.parametrize("entry", ["mobilenetv3", "resnet50"])
def test_without_a_network_only_what_the_entry_reads_is_advised(entry, tmp_path, monkeypatch):
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("RVM_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(Exception, match="could not be downloaded") as caught:
        torch.hub.load(str(ROOT), entry, source="local")
    text = str(caught.value)
    assert [line[:5] for line in text.splitlines()[1:]] == ["  1. ", "  2. ", "  3. "]
    assert f"put rvm_{entry}.pth into {tmp_path}" in text
    assert not re.search(r"--|install\.py|rvm-studio |pip ", text)
    if entry == "mobilenetv3":
        assert 'name "starter"' in text
        assert torch.hub.load(str(ROOT), entry, source="local", weights="starter").variant == entry


@pytest.mark.parametrize(("entry", "parameters"), [("mobilenetv3", 3.7), ("resnet50", 26.9)])
def test_without_weights(entry, parameters):
    network = torch.hub.load(str(ROOT), entry, source="local", pretrained=False)
    assert not network.training
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(parameters, abs=0.1)


def test_converter(tmp_path, reference_weights, monkeypatch):
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    network = torch.hub.load(str(ROOT), "mobilenetv3", source="local", weights=str(reference_weights))
    convert = torch.hub.load(str(ROOT), "converter", source="local")
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for t in range(3):
        Image.new("RGB", (66, 44), (40 * t, 90, 120)).save(folder / f"{t:03d}.png")
    report = convert(network, folder, composite=tmp_path / "a.mov", alpha=tmp_path / "b.mkv", device_name="cpu")
    assert report.frames == 3
    assert report.outputs == [tmp_path / "a.mov", tmp_path / "b.mkv"]
    assert all(path.stat().st_size for path in report.outputs)
