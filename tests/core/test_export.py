"""Exported files run by the programs they are for, against the network: sizes, ratios, states fed back; and faults."""

# H, W full size

import builtins
import sys
from pathlib import Path

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core import export as export_module
from rvm_studio.core.cli import export as cli_export
from rvm_studio.core.errors import StudioError
from rvm_studio.core.export import export
from rvm_studio.core.machine.install_advice import command_for_extra
from rvm_studio.core.network import small_size

NEEDS = {".onnx": ("onnx", "onnxruntime"), ".xml": ("onnx", "openvino"), ".pt": (), ".pt2": ()}


def needs(suffix) -> None:
    for package in NEEDS[suffix]:
        pytest.importorskip(package)


@pytest.fixture
def networks(random_networks):
    return lambda refiner="deep_guided_filter": random_networks(refiner, 4)


def run_file(path: Path, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """The file run by its own program, not by the exporter's code."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        given = {x.name: value.numpy() for x, value in zip(session.get_inputs(), inputs, strict=True)}
        assert [y.name for y in session.get_outputs()] == ["fgr", "pha", "r1o", "r2o", "r3o", "r4o"]
        return [torch.from_numpy(y) for y in session.run(None, given)]
    if path.suffix == ".xml":
        import openvino

        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        results = compiled([x.numpy() for x in inputs])
        return [torch.from_numpy(results[k].copy()) for k in range(6)]
    program = torch.jit.load(path) if path.suffix == ".pt" else torch.export.load(path).module()
    with torch.no_grad():
        return list(program(*inputs))


def assert_follows(path, network, height, width, ratio, is_input, is_static=False) -> None:
    """Four frames of noise and a shape, each side with its own state."""
    generator = torch.Generator().manual_seed(height)
    states, rec = [torch.zeros(1, 1, 1, 1)] * 4, None
    if is_static:
        h, w = small_size(height, width, ratio)
        states = []
        for channels in (16, 20, 40, 64):
            h, w = (h + 1) // 2, (w + 1) // 2
            states.append(torch.zeros(1, channels, h, w))
    for t in range(4):
        src = 0.3 * torch.rand(1, 3, height, width, generator=generator)
        src[..., height // 4 :, width // 4 + t : width // 2 + t] += 0.6
        with torch.inference_mode():
            expected = network(src, rec, ratio)
        rec = expected.rec
        results = run_file(path, [src, *states, *([torch.tensor([ratio])] if is_input else [])])
        states = results[2:]
        for result, truth in zip(results, (expected.fgr, expected.pha, *rec), strict=True):
            assert result.shape == truth.shape
            assert (result - truth).abs().max() < 1e-3
    assert expected.pha.std() > 0.01, "the case must not be flat"


@pytest.mark.slow
@pytest.mark.parametrize("refiner", ["deep_guided_filter", "fast_guided_filter"])
@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".pt"])
def test_dynamic_sizes_and_ratios(tmp_path, networks, suffix, refiner):
    needs(suffix)
    path = tmp_path / f"dynamic{suffix}"
    export(networks(refiner), path)
    for height, width, ratio in ((141, 233, 0.375), (64, 64, 0.5), (97, 203, 0.9)):
        assert_follows(path, networks(refiner), height, width, ratio, is_input=True)
    assert {file.name for file in tmp_path.iterdir()} <= {path.name, "dynamic.bin"}, "nothing else is left"


@pytest.mark.slow
@pytest.mark.versions
@pytest.mark.parametrize("ratio", [0.4, 1])
@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_dynamic_sizes_at_a_constant_ratio(tmp_path, networks, suffix, ratio):
    needs(suffix)
    path = tmp_path / f"constant{suffix}"
    export(networks(), path, downsample_ratio=ratio)
    for height, width in ((77, 51), (64, 96)):
        assert_follows(path, networks(), height, width, ratio, is_input=False)


@pytest.mark.slow
@pytest.mark.versions
@pytest.mark.parametrize("suffix", [".onnx", ".xml", ".pt", ".pt2"])
def test_static_form(tmp_path, networks, suffix):
    needs(suffix)
    path = tmp_path / f"static{suffix}"
    export(networks(), path, size=(141, 233), downsample_ratio=0.375)
    assert_follows(path, networks(), 141, 233, 0.375, is_input=False, is_static=True)


def test_static_onnx_has_fixed_shapes_only(tmp_path, networks):
    needs(".onnx")
    import onnx

    path = tmp_path / "static.onnx"
    export(networks(), path, size=(96, 160), downsample_ratio=0.5)
    graph = onnx.load(path).graph
    shapes = {x.name: [d.dim_value for d in x.type.tensor_type.shape.dim] for x in [*graph.input, *graph.output]}
    assert list(shapes)[:5] == ["src", "r1", "r2", "r3", "r4"]
    assert shapes["src"] == shapes["fgr"] == [1, 3, 96, 160]
    assert shapes["r1"] == shapes["r1o"] == [1, 16, 24, 40]
    assert shapes["r4"] == shapes["r4o"] == [1, 64, 3, 5]
    assert all(all(side > 0 for side in shape) for shape in shapes.values())


@pytest.mark.slow
def test_resnet50(tmp_path):
    needs(".onnx")
    torch.manual_seed(1)
    network = MattingNetwork("resnet50").eval()
    assert export(network, tmp_path / "large.onnx", size=(96, 128), downsample_ratio=0.5) < 1e-3


def test_the_callers_network_stays_as_it_is(tmp_path, networks):
    network = networks()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    export(network, tmp_path / "a.pt")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.slow
def test_a_file_that_differs_is_not_kept(tmp_path, networks, monkeypatch):
    kept = tmp_path / "a.pt"
    kept.write_bytes(b"what was there")
    runner = export_module._RUNNERS[".pt"]
    off = lambda path: lambda inputs: [y + 0.01 for y in runner(path)(inputs)]  # noqa: E731
    monkeypatch.setitem(export_module._RUNNERS, ".pt", off)
    with pytest.raises(StudioError, match=r"differs from the network by up to 0\.0"):
        export(networks(), kept, overwrite=True)
    assert kept.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [kept]


@pytest.mark.parametrize(
    ("name", "how", "message"),
    [
        ("a.tflite", {}, r"is not an export format.*\.onnx"),
        ("a.pt2", {}, "one size only"),
        ("a.pt", {"size": (0, 5)}, "The size is 5x0"),
        ("a.pt", {"downsample_ratio": 1.5}, "ratio is 1.5"),
        ("a.pt", {"size": (10, 10), "downsample_ratio": 0.01}, "has no pixels"),
        ("there.pt", {}, "exists already"),
    ],
)
def test_what_cannot_be_exported(tmp_path, networks, name, how, message):
    (tmp_path / "there.pt").touch()
    with pytest.raises(StudioError, match=message):
        export(networks(), tmp_path / name, **how)
    assert [file.name for file in tmp_path.iterdir()] == ["there.pt"]


def test_a_package_that_lacks_is_named(tmp_path, networks, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **more):
        if name == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'", name=name)
        return real(name, *arguments, **more)

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(builtins, "__import__", without)
    pytest.importorskip("onnx")
    with pytest.raises(StudioError, match="needs the package onnxruntime") as caught:
        export(networks(), tmp_path / "a.onnx")
    assert str(caught.value).endswith(f"Install it: {command_for_extra('export')}")


def test_command(tmp_path, studio, reference_weights):
    ran = studio("export", tmp_path / "a.pt", "--weights", reference_weights, "--size", "64x48")
    assert (ran.code, (tmp_path / "a.pt").is_file()) == (0, True), ran.err
    assert "differs from the network by at most" in ran.out
    assert studio("export", tmp_path / "a.pt", "--weights", reference_weights).code == 1
    for wrong in (["--size", "64"], ["--size", "-1x5"], ["--downsample", "0"], ["--downsample", "nan"]):
        assert studio("export", tmp_path / "b.pt", *wrong).code == 2
    assert cli_export.parse_size("1920x1080") == (1080, 1920)
