"""Weights against the official names, the reference weights, and every way a file can be wrong."""

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.errors import StudioError
from rvm_studio.core.weights import network_weights as weights
from rvm_studio.core.weights.network_weights import CATALOGUE, check, convert, find, load_network, read, save
from safetensors import safe_open
from safetensors.torch import save_file

pytestmark = pytest.mark.usefixtures("one_thread")

VARIANTS = ("mobilenetv3", "resnet50")


@pytest.fixture(autouse=True)
def _own_places(monkeypatch, tmp_path):
    """No test sees this computer's weights, and any download fails at once."""
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("RVM_MIRROR", (tmp_path / "no mirror").as_uri())
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)


def _network(variant: str = "mobilenetv3", refiner: str = "deep_guided_filter") -> MattingNetwork:
    """Every value random, so that a mixed-up name shows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        network = MattingNetwork(variant, refiner)
        for name, value in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                value.random_(1000)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif value.ndim == 1:
                value.uniform_(0.9, 1.1)
    return network.eval()


@pytest.fixture(scope="module")
def network() -> MattingNetwork:
    return _network()


@pytest.fixture
def state(network) -> dict[str, torch.Tensor]:
    """The state dict, to be changed at will."""
    return dict(network.state_dict())


def _assert_same(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


def _refused(content: dict, path: Path, *parts: str) -> None:
    """Reading `content` from `path` must fail and say all `parts`, in both formats."""
    for file in (path.with_suffix(".pth"), path.with_suffix(".safetensors")):
        if file.suffix == ".pth":
            torch.save(content, file)
        else:
            save_file(content, file)
        with pytest.raises(StudioError) as caught:
            read(file)
        for part in (str(file), *parts):
            assert part in str(caught.value)


# Round trips


@pytest.mark.parametrize("variant", VARIANTS)
def test_round_trip_from_pth_is_strict_and_bit_equal(reference, tmp_path, variant):
    original = _network(variant)
    torch.save(original.state_dict(), tmp_path / "x.pth")
    path = convert(tmp_path / "x.pth", tmp_path / "x.safetensors", {"licence": "CC0-1.0"})

    lines = (reference / f"keys_{variant}.txt").read_text().splitlines()
    official = {name: (shape, dtype) for name, shape, dtype, _ in (line.split("\t") for line in lines)}
    with safe_open(path, "pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    found = {name: (str(list(x.shape)), str(x.dtype).removeprefix("torch.")) for name, x in stored.items()}
    assert found == official
    assert all(torch.equal(stored[name], tensor) for name, tensor in original.state_dict().items())

    strict = MattingNetwork(variant)
    strict.load_state_dict(stored, strict=True)
    loaded = load_network(path, variant)
    _assert_same(loaded.state_dict(), original.state_dict())
    assert not loaded.training
    assert metadata.pop("tensors_sha256")
    assert metadata == {
        "format": "rvm-studio",
        "variant": variant,
        "refiner": "deep_guided_filter",
        "source": "x.pth",
        "source_sha256": hashlib.sha256((tmp_path / "x.pth").read_bytes()).hexdigest(),
        "licence": "CC0-1.0",
    }


def test_save_makes_any_network_plain(network, tmp_path):
    half = _network().half().to(memory_format=torch.channels_last)
    path = save(half, tmp_path / "x.safetensors", {"training_stage": "2", "variant": "overruled"})
    weights_ = read(path)
    _assert_same(
        weights_.state_dict,
        {n: x.half().float() if x.is_floating_point() else x for n, x in network.state_dict().items()},
    )
    assert all(tensor.is_contiguous() for tensor in weights_.state_dict.values())
    assert weights_.metadata["training_stage"] == "2"
    assert weights_.metadata["variant"] == "mobilenetv3"


def test_save_refuses_other_endings(network, tmp_path):
    with pytest.raises(StudioError, match=r"\.safetensors"):
        save(network, tmp_path / "x.pth", {})


def test_a_network_computes_the_same_after_the_round_trip(network, tmp_path):
    loaded = load_network(save(network, tmp_path / "x.safetensors", {}))
    src = torch.rand(1, 2, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for expected, found in zip(network(src, None, 0.5)[:2], loaded(src, None, 0.5)[:2], strict=True):
            assert torch.equal(expected, found)


def test_convert_keeps_what_is_known_of_the_origin(network, tmp_path):
    first = save(network, tmp_path / "a.safetensors", {"source": "my training", "licence": "CC0-1.0"})
    second = read(convert(first, tmp_path / "b.safetensors")).metadata
    third = read(convert(tmp_path / "b.safetensors", tmp_path / "c.safetensors")).metadata
    assert second["source"] == third["source"] == "my training"
    assert second["licence"] == third["licence"] == "CC0-1.0"
    assert second["source_sha256"] == third["source_sha256"] == hashlib.sha256(first.read_bytes()).hexdigest()


def test_convert_knows_the_official_file_by_its_hash(state, tmp_path, monkeypatch):
    torch.save(state, tmp_path / "whatever.pth")
    digest = hashlib.sha256((tmp_path / "whatever.pth").read_bytes()).hexdigest()
    entry = replace(CATALOGUE["mobilenetv3"], sha256=digest)
    monkeypatch.setitem(CATALOGUE, "mobilenetv3", entry)
    path = convert(tmp_path / "whatever.pth", tmp_path / "x.safetensors")
    metadata = read(path).metadata
    assert metadata["licence"] == "GPL-3.0"
    assert metadata["source"] == entry.source
    assert metadata["source_url"] == entry.url
    assert metadata["training_stage"] == "final"
    for file in (path, tmp_path / "whatever.pth"):
        assert "origin      PeterL1n/RobustVideoMatting, release v1.0.0: rvm_mobilenetv3.pth" in check(file)


def test_convert_to_half_precision(network, state, tmp_path):
    src = save(network, tmp_path / "a.safetensors", {"source": "test"})
    dst = convert(src, tmp_path / "b.safetensors", half=True)
    assert dst.stat().st_size < 0.51 * src.stat().st_size
    halved = read(dst).state_dict
    assert halved.keys() == state.keys()
    for name, x in state.items():
        assert halved[name].dtype == x.dtype
        torch.testing.assert_close(halved[name], x, rtol=2**-11, atol=2**-24)


def test_the_starter_weights_by_their_name(monkeypatch):
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    path = find(path="starter")
    assert path.stat().st_size < 10e6
    weights = read(path)
    assert (weights.variant, weights.refiner, weights.has_segmentation) == ("mobilenetv3", "deep_guided_filter", True)
    assert "synthetic persons" in weights.metadata["training_data"]
    monkeypatch.setenv("RVM_WEIGHTS", "starter")
    assert find() == path
    with pytest.raises(StudioError, match=r"are starter weights for mobilenetv3 only. Use variant mobilenetv3.$"):
        find("resnet50")


def test_convert_does_not_replace_its_source(network, tmp_path):
    path = save(network, tmp_path / "x.safetensors", {})
    content = path.read_bytes()
    with pytest.raises(StudioError, match="is the file to convert"):
        convert(path, tmp_path / "." / "x.safetensors")
    assert path.read_bytes() == content


# What is accepted


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(state, tmp_path, dtype):
    other = {name: x.to(dtype) if x.is_floating_point() else x for name, x in state.items()}
    expected = {name: x.float() if x.is_floating_point() else x for name, x in other.items()}
    save_file(other, tmp_path / "x.safetensors")
    torch.save(other, tmp_path / "x.pth")
    for suffix in (".safetensors", ".pth"):
        _assert_same(read(tmp_path / f"x{suffix}").state_dict, expected)
        assert load_network(tmp_path / f"x{suffix}").project_mat.conv.weight.dtype == torch.float32


def test_missing_counters_are_zero(state, tmp_path):
    counters = {name for name in state if name.endswith("num_batches_tracked")}
    assert counters
    save_file({name: x for name, x in state.items() if name not in counters}, tmp_path / "x.safetensors")
    found = read(tmp_path / "x.safetensors").state_dict
    _assert_same(found, {name: torch.tensor(0) if name in counters else x for name, x in state.items()})


@pytest.mark.parametrize("wrapping", [None, "model", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_training_checkpoints(state, tmp_path, wrapping, prefix):
    content = {prefix + name: tensor for name, tensor in state.items()}
    torch.save({wrapping: content, "epoch": 4} if wrapping else content, tmp_path / "x.pth")
    _assert_same(read(tmp_path / "x.pth").state_dict, state)
    assert find("mobilenetv3", tmp_path) == tmp_path / "x.pth"


# Refiners


def test_reference_weights_switch_to_the_fast_guided_filter_and_say_so(reference_weights, caplog):
    with caplog.at_level(logging.WARNING, "rvm_studio.core.weights.network_weights"):
        network = load_network(reference_weights)
    assert network.variant == "mobilenetv3"
    assert network.refiner_name == "fast_guided_filter"
    assert [record.getMessage() for record in caplog.records] == [
        f"{reference_weights} contains no refiner.* weights: the fast guided filter is used"
    ]
    with safe_open(reference_weights, "pt") as file:
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert stored.keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in network.state_dict().items())


def test_asking_for_the_fast_guided_filter_is_silent(reference_weights, caplog):
    assert load_network(reference_weights, refiner="fast_guided_filter").refiner_name == "fast_guided_filter"
    assert caplog.text == ""


def test_a_deep_refiner_that_is_absent(reference_weights):
    with pytest.raises(StudioError, match=r"contains no refiner\.\* weights.*Request fast_guided_filter or auto"):
        load_network(reference_weights, refiner="deep_guided_filter")


@pytest.mark.parametrize("refiner", ["auto", "deep_guided_filter", "fast_guided_filter"])
def test_a_file_with_a_deep_refiner_serves_both(network, tmp_path, caplog, refiner):
    path = save(network, tmp_path / "x.safetensors", {})
    loaded = load_network(path, refiner=refiner)
    fast = refiner == "fast_guided_filter"
    assert loaded.refiner_name == ("fast_guided_filter" if fast else "deep_guided_filter")
    expected = {n: x for n, x in network.state_dict().items() if not (fast and n.startswith("refiner."))}
    _assert_same(loaded.state_dict(), expected)
    assert caplog.text == ""


def test_an_unknown_refiner(network, tmp_path):
    path = save(network, tmp_path / "x.safetensors", {})
    with pytest.raises(StudioError, match=r"unknown refiner 'none'; expected auto, deep_guided_filter or fast"):
        load_network(path, refiner="none")


# What is refused


def test_missing_tensors_are_named_and_counted(state, tmp_path):
    for name in list(state)[10:60]:
        del state[name]
    gone = [name for name in _network().state_dict() if name not in state and "num_batches" not in name]
    more = f"{', '.join(gone[:3])} and {len(gone) - 3} more"
    _refused(state, tmp_path / "x", "does not match the mobilenetv3 network", f"{len(gone)} tensors missing ({more})")


def test_a_refiner_that_is_not_whole(state, tmp_path):
    del state["refiner.box_filter.weight"]
    _refused(state, tmp_path / "x", "1 tensors missing (refiner.box_filter.weight)")


def test_a_segmentation_head_may_be_missing_as_a_whole(state, tmp_path):
    bare = {name: tensor for name, tensor in state.items() if not name.startswith("project_seg.")}
    assert len(bare) < len(state)
    torch.save(bare, tmp_path / "x.pth")
    network = load_network(tmp_path / "x.pth")
    assert not network.has_segmentation
    assert 0 < network.project_seg.conv.weight.abs().max() <= 1 / 4  # of 16 channels, as PyTorch begins any
    save(network, tmp_path / "again.safetensors", {})
    assert not any(name.startswith("project_seg.") for name in read(tmp_path / "again.safetensors").state_dict)
    assert not load_network(convert(tmp_path / "x.pth", tmp_path / "converted.safetensors")).has_segmentation
    src = torch.rand(1, 2, 3, 32, 48)
    whole = MattingNetwork("mobilenetv3").eval()
    whole.load_state_dict(state)
    assert torch.equal(network(src).pha, whole(src).pha)
    assert whole.has_segmentation


def test_a_segmentation_head_of_zeros_is_none(state, tmp_path, reference_weights):
    zeros = {name: torch.zeros_like(x) if name.startswith("project_seg.") else x for name, x in state.items()}
    torch.save(zeros, tmp_path / "x.pth")
    assert not load_network(tmp_path / "x.pth").has_segmentation
    assert not load_network(reference_weights).has_segmentation
    torch.save(state, tmp_path / "y.pth")
    assert load_network(tmp_path / "y.pth").has_segmentation


def test_half_a_segmentation_head_is_refused(state, tmp_path):
    _refused({k: v for k, v in state.items() if k != "project_seg.conv.bias"}, tmp_path / "x", "1 tensors missing")


def test_surplus_tensors_are_named_and_counted(state, tmp_path):
    state |= {f"ema.{index}": torch.zeros(1) for index in range(5)}
    _refused(state, tmp_path / "x", "5 unexpected (ema.0, ema.1, ema.2 and 2 more)")


def test_wrong_shapes(state, tmp_path):
    state["project_mat.conv.weight"] = torch.zeros(5, 16, 1, 1)
    _refused(state, tmp_path / "x", "1 with a wrong shape (project_mat.conv.weight [5, 16, 1, 1], not [4, 16, 1, 1])")


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64])
def test_integer_weights(state, tmp_path, dtype):
    state["project_mat.conv.weight"] = torch.zeros(4, 16, 1, 1, dtype=dtype)
    kind = str(dtype).removeprefix("torch.")
    _refused(state, tmp_path / "x", f"1 with a wrong type (project_mat.conv.weight {kind}; quantised")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(state, tmp_path, value):
    state["project_mat.conv.bias"] = torch.full((4,), value)
    _refused(state, tmp_path / "x", "not finite in 1 tensors (project_mat.conv.bias)")


def test_something_else_altogether(tmp_path):
    content = {"bias": torch.zeros(2), "weight": torch.zeros(2, 2)}
    _refused(content, tmp_path / "x", "contains no matting network: its names (bias, weight)")


def test_metadata_that_contradict_the_tensors(state, tmp_path):
    for key, value in (("variant", "resnet50"), ("refiner", "fast_guided_filter")):
        save_file(state, tmp_path / "x.safetensors", {key: value})
        with pytest.raises(StudioError, match=rf"contradicts itself: its metadata says {key} '{value}'"):
            read(tmp_path / "x.safetensors")


def test_the_wrong_variant(network, tmp_path):
    path = save(network, tmp_path / "x.safetensors", {})
    with pytest.raises(StudioError, match=r"x\.safetensors contains mobilenetv3 weights, but resnet50 was requested"):
        load_network(path, "resnet50")


# Finding


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory) -> bytes:
    return save(network, tmp_path_factory.mktemp("saved") / "x.safetensors", {}).read_bytes()


def test_find_prefers_the_path_then_the_variable_then_the_models_folder(saved, tmp_path, monkeypatch):
    with pytest.raises(StudioError, match=r"rvm_mobilenetv3\.pth could not be downloaded"):
        find()
    kept = tmp_path / "models" / "rvm_mobilenetv3.safetensors"
    kept.write_bytes(saved)
    assert find() == kept
    from_variable = tmp_path / "variable.safetensors"
    from_variable.write_bytes(saved)
    monkeypatch.setenv("RVM_WEIGHTS", str(from_variable))
    assert find() == from_variable
    explicit = tmp_path / "explicit.safetensors"
    explicit.write_bytes(saved)
    assert find(path=explicit) == find(path=str(explicit)) == explicit
    monkeypatch.setenv("RVM_WEIGHTS", "")  # as good as not set
    assert find() == kept


def test_find_expands_the_home_folder(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "x.safetensors").write_bytes(saved)
    monkeypatch.setenv("RVM_WEIGHTS", "~/x.safetensors")
    assert find() == tmp_path / "x.safetensors"


def test_find_in_the_reference_folder(reference, reference_weights, monkeypatch):
    monkeypatch.setenv("RVM_WEIGHTS", str(reference))
    assert find() == reference_weights
    with pytest.raises(StudioError, match=r"RVM_WEIGHTS is the folder .* which contains no resnet50 weights"):
        find("resnet50")


def test_find_in_a_folder_takes_what_fits(network, saved, tmp_path, monkeypatch):
    folder = tmp_path / "shelf"
    (folder / "weights").mkdir(parents=True)
    (folder / "notes.txt").write_text("mobilenetv3")
    (folder / "rvm_mobilenetv3_page.pth").write_text("<html>not found</html>")
    (folder / "rvm_mobilenetv3_cut.safetensors").write_bytes(saved[:100])
    save_file({"a": torch.zeros(1)}, folder / "other.safetensors")
    torch.save({"a": torch.zeros(1)}, folder / "other.pth")
    with pytest.raises(StudioError, match="contains no mobilenetv3 weights"):
        find(path=folder)
    torch.save(network.state_dict(), folder / "weights" / "epoch-3.pth")
    assert find(path=folder) == folder / "weights" / "epoch-3.pth"
    (folder / "weights" / "epoch-2.safetensors").write_bytes(saved)
    assert find(path=folder) == folder / "weights" / "epoch-2.safetensors"
    (folder / "weights" / "mobilenetv3.pth").write_bytes((folder / "weights" / "epoch-3.pth").read_bytes())
    assert find(path=folder) == folder / "weights" / "mobilenetv3.pth"
    with pytest.raises(StudioError, match="contains no resnet50 weights"):
        find("resnet50", folder)


def test_find_what_is_not_there(tmp_path, monkeypatch):
    missing = tmp_path / "none.safetensors"
    with pytest.raises(StudioError, match=r"The weights path is .*none\.safetensors, which does not exist"):
        find(path=missing)
    monkeypatch.setenv("RVM_WEIGHTS", str(missing))
    with pytest.raises(StudioError, match=r"RVM_WEIGHTS is .*none\.safetensors, which does not exist"):
        find()
    with pytest.raises(StudioError, match=r"unknown variant 'vgg'; expected one of mobilenetv3, resnet50"):
        find("vgg")


def test_find_fetches_from_a_mirror(state, tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    torch.save(state, tmp_path / "mirror" / "rvm_mobilenetv3.pth")
    digest = hashlib.sha256((tmp_path / "mirror" / "rvm_mobilenetv3.pth").read_bytes()).hexdigest()
    monkeypatch.setitem(CATALOGUE, "mobilenetv3", replace(CATALOGUE["mobilenetv3"], sha256=digest))
    path = find(mirror=(tmp_path / "mirror").as_uri())
    assert path == weights.models_dir() / "rvm_mobilenetv3.safetensors"
    _assert_same(read(path).state_dict, state)


# Checking


@pytest.mark.parametrize("variant", VARIANTS)
def test_check_tells_what_a_file_is(reference, tmp_path, variant):
    path = save(_network(variant), tmp_path / "x.safetensors", {"licence": "CC0-1.0", "training_stage": "3"})
    lines = check(path).splitlines()
    rows = (line.split("\t") for line in (reference / f"keys_{variant}.txt").read_text().splitlines())
    parameters = sum(
        torch.Size(map(int, filter(None, shape.strip("[]").split(",")))).numel()
        for _, shape, _, kind in rows
        if kind == "parameter"
    )
    assert lines[:5] == [
        f"{path}: intact",
        f"  variant     {variant}",
        "  refiner     deep_guided_filter",
        f"  parameters  {parameters:,}",
        f"  sha256      {hashlib.sha256(path.read_bytes()).hexdigest()}",
    ]
    assert "  metadata    licence: CC0-1.0" in lines
    assert "  metadata    training_stage: 3" in lines


def test_check_of_the_reference_weights(reference_weights):
    text = check(reference_weights)
    assert "32c945c74c5201185b0b9dc2dd9ea2f951ed0584db34f865bc64ff0cb8d581da" in text
    assert "fast_guided_filter (no refiner.* in the file)" in text


def test_check_of_a_broken_file(saved, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(saved[:-1])
    with pytest.raises(StudioError, match=r"x\.safetensors is damaged or truncated"):
        check(tmp_path / "x.safetensors")
