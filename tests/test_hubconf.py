"""The entries for PyTorch Hub, loaded from this checkout as anybody would."""

import copy
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from rvm_studio.core import StudioError

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


@pytest.mark.slow
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
        assert 'pass "starter" instead of a path' in text
        assert torch.hub.load(str(ROOT), entry, source="local", weights="starter").variant == entry


@pytest.mark.parametrize(("entry", "parameters"), [("mobilenetv3", 3.7), ("resnet50", 26.9)])
def test_without_weights(entry, parameters):
    network = torch.hub.load(str(ROOT), entry, source="local", pretrained=False)
    assert not network.training
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(parameters, abs=0.1)


@pytest.fixture(scope="module")
def network():
    return torch.hub.load(str(ROOT), "mobilenetv3", source="local", weights="starter")


@pytest.fixture
def convert(tmp_path, monkeypatch):
    """The converter, among three pictures in shots/."""
    monkeypatch.chdir(tmp_path)
    Path("shots").mkdir()
    for t in range(3):
        Image.new("RGB", (66, 44), (40 * t, 90, 120)).save(f"shots/{t:03d}.png")
    return torch.hub.load(str(ROOT), "converter", source="local")


def files(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_it_takes_the_official_keywords(convert):
    given = inspect.signature(convert).parameters
    official = dict.fromkeys(["input_resize", "downsample_ratio"])
    official |= {"output_type": "video"} | dict.fromkeys(["output_composition", "output_alpha", "output_foreground"])
    official |= {"output_video_mbps": None, "seq_chunk": 1, "num_workers": 0, "progress": True}
    official |= dict.fromkeys(["device", "dtype"])
    assert list(given)[:14] == ["model", "input_source", *official]
    assert {name: given[name].default for name in official} == official


@pytest.mark.slow
def test_videos(convert, network, capsys):
    report = convert(
        network,
        input_source="shots",
        downsample_ratio=0.5,
        output_type="video",
        output_composition="com.mp4",
        output_alpha="pha.mkv",
        output_foreground="fgr.mkv",
        seq_chunk=2,
        num_workers=1,
        progress=False,
        device="cpu",
        dtype=torch.float32,
    )
    assert report.frames == 3
    assert report.outputs == [Path("com.mp4"), Path("pha.mkv"), Path("fgr.mkv")]
    assert capsys.readouterr() == ("", "")
    with av.open("com.mp4") as container:
        assert container.streams.video[0].average_rate == 30
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    with av.open("pha.mkv") as container:
        alpha = next(container.decode(video=0)).to_ndarray(format="gray")
    background = alpha < 3
    assert background.any()
    assert np.abs(frame[background].mean(0) - [120, 255, 155]).max() < 12  # the official green


@pytest.mark.slow
def test_transparency_and_what_is_there_is_replaced(convert, network, capsys):
    for _ in range(2):
        convert(network, "shots", output_composition="cut.mov", warm_up=0, quality=9)
    with av.open("cut.mov") as container:
        assert container.streams.video[0].codec_context.pix_fmt.startswith("yuva")
    assert "3/3 frames" in capsys.readouterr().err
    convert(network, "shots", output_composition="over.mkv", background="white")
    with av.open("over.mkv") as container:
        assert container.streams.video[0].codec_context.pix_fmt == "bgr0"


def test_pictures(convert, network):
    convert(network, "shots", output_type="png_sequence", output_composition="com", output_alpha="a/pha")
    assert files("com") == files("a/pha") == ["0000.png", "0001.png", "0002.png"]
    assert Image.open("com/0000.png").mode == "RGBA"
    assert Image.open("a/pha/0000.png").mode == "L"


def test_the_engine_follows_the_network_and_the_keywords(convert, network, monkeypatch):
    import rvm_studio.core

    seen = []
    monkeypatch.setattr(rvm_studio.core.engines, "choose", lambda *given: seen.append(given))
    monkeypatch.setattr(rvm_studio.core.engines, "build", lambda model, choice: (_ for _ in ()).throw(KeyError))
    for model, options in (
        (network, {}),
        (copy.deepcopy(network).bfloat16(), {}),
        (network, {"device": "auto", "dtype": torch.float32, "engine": "eager"}),
    ):
        with pytest.raises(KeyError):
            convert(model, "shots", output_alpha="a.mkv", **options)
    cpu = torch.device("cpu")
    assert seen[:2] == [(cpu, "auto", "auto"), (cpu, "auto", torch.bfloat16)]
    assert seen[2][1:] == ("eager", torch.float32)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"input_resize": (1920, 1080)}, "input_resize is (1920, 1080), but the outputs always have the input's size."),
        ({"output_video_mbps": 4}, "output_video_mbps is 4, but files have constant quality"),
        ({"output_type": "gif"}, "output_type is 'gif'. Expected"),
        ({"num_workers": -1}, "num_workers is -1"),
        ({"seq_chunk": 0}, "The chunk is 0 frames"),
        ({"downsample_ratio": 2}, "The downsample ratio is 2"),
        ({"device": "gpu"}, "Unknown device 'gpu'"),
        ({"dtype": torch.float64}, "Unknown precision 'torch.float64'"),
        ({"output_alpha": None}, "There is nothing to write"),
        ({"output_composition": "com"}, "no suffix"),
        ({"input_source": "gone.mp4"}, "gone.mp4 does not exist"),
        ({"model": torch.nn.Linear(1, 1)}, "The model is a torch.nn.modules.linear.Linear"),
        ({"model": "mobilenetv3"}, "The model is a builtins.str"),
    ],
)
def test_what_is_not_supported_says_what_to_do(convert, network, options, says):
    given = {"model": network, "input_source": "shots", "output_alpha": "alpha.mkv"} | options
    with pytest.raises(StudioError) as caught:
        convert(**given)
    assert says in str(caught.value)
    assert files(".") == ["shots"]


def test_a_missing_package_is_named(monkeypatch):
    """PyTorch Hub asks for what the networks need; reading files needs more."""
    for name in [
        name for name in sys.modules if name.startswith("rvm_studio.core.video") or name.split(".")[0] == "av"
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(StudioError, match="needs the package av: pip install av"):
        torch.hub.load(str(ROOT), "converter", source="local")
