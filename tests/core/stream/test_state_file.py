"""States as dicts and files: back as they were, or refused."""

import pytest
import torch
from rvm_studio.core.errors import StudioError
from rvm_studio.core.stream.session import StreamState
from rvm_studio.core.stream.state_file import load_state, save_state, state_from_dict, state_to_dict
from safetensors.torch import save_file


def state(dtype=torch.float32, scene=True) -> StreamState:
    generator = torch.Generator().manual_seed(1)
    r1, r2, r3, r4 = (torch.randn(1, c, 8 * 2 // c + 1, 5, generator=generator).to(dtype) for c in (16, 20, 40, 64))
    picture = torch.rand(3, 26, 26, generator=generator) if scene else None
    return StreamState((r1, r2, r3, r4), "mobilenetv3", 720, 1280, 0.4 / 3, dtype, 1234, picture)


def same(a: StreamState, b: StreamState) -> bool:
    tensors = [*zip(a.rec, b.rec, strict=True)] + ([(a.scene, b.scene)] if a.scene is not None else [])
    plain = [
        getattr(a, k) == getattr(b, k)
        for k in ("variant", "height", "width", "downsample_ratio", "dtype", "frame_count")
    ]
    return (
        all(torch.equal(x, y) and x.dtype == y.dtype for x, y in tensors)
        and all(plain)
        and (a.scene is None) == (b.scene is None)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scene", [True, False])
def test_a_state_comes_back_exactly(tmp_path, dtype, scene):
    given = state(dtype, scene)
    assert same(state_from_dict(state_to_dict(given)), given)
    loaded, metadata = load_state(save_state(given, tmp_path / "shot.safetensors", {"note": "kept"}))
    assert same(loaded, given)
    assert metadata["note"] == "kept"


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "shot.safetensors"
    save_state(state(), path)
    save_state(state(scene=False), path)
    assert load_state(path)[0].scene is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["shot.safetensors"]


def test_what_is_no_state_is_refused(tmp_path):
    weights, cut, text = tmp_path / "w.safetensors", tmp_path / "c.safetensors", tmp_path / "t.safetensors"
    save_file({"r1": torch.zeros(1)}, weights)
    cut.write_bytes(save_state(state(), tmp_path / "s.safetensors").read_bytes()[:-100])
    text.write_text("not a state at all, only text")
    with pytest.raises(StudioError, match="is not the state of a matting stream"):
        load_state(weights)
    for path in (cut, text, tmp_path / "missing.safetensors"):
        with pytest.raises(StudioError, match=r"cannot be read .* Save it again, or start without one"):
            load_state(path)


def test_changed_bytes_are_noticed(tmp_path):
    path = save_state(state(), tmp_path / "s.safetensors")
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StudioError, match="damaged"):
        load_state(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StudioError, match="cannot be written"):
        save_state(state(), tmp_path / "file" / "s.safetensors")


@pytest.mark.parametrize("key", ["r3", "variant", "height", "downsample_ratio", "dtype"])
def test_what_is_missing_is_named(key):
    values = state_to_dict(state())
    del values[key]
    with pytest.raises(StudioError, match=f"{key} are missing"):
        state_from_dict(values)
