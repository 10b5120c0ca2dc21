"""What `rvm-studio matte` refuses before it runs: options, outputs and networks that cannot be."""

from pathlib import Path

import pytest

from .matte_results import files, the_error

pytestmark = pytest.mark.usefixtures("in_folder")


def test_nothing_to_write(red_studio, clip):
    assert "give -o OUTPUT" in the_error(red_studio("matte", clip))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-o", "out.xyz"], "'.xyz', which is not a known format: use one of .mov"),
        (["-o", "out", "--format", "xyz"], "'.xyz', which is not a known format"),
        (["-o", "out.mov", "--format", "webm"], "out.mov and the format webm contradict each other"),
        (["-o", "out.mov", "--alpha", "a.doc"], "'.doc', which is not a known format"),
        (["-o", "out.mov", "--preview", "sheet.mov"], "The contact sheet sheet.mov is a picture"),
        (["-o", "out.mov", "--background", "grren"], "'grren' is neither a colour nor a file"),
        (["-o", "out.mov", "--background", "beach.jpg"], "'beach.jpg' is neither a colour nor a file"),
        (["-o", "out.mov", "--background", ""], "'' is neither a colour nor a file"),
        (["-o", "out.mov", "--alpha", "out.mov"], "out.mov is already the name of another output"),
        (["-o", "clip.mp4", "--overwrite"], "clip.mp4 is the input"),
        (["-o", "new/../clip.mp4", "--overwrite"], "clip.mp4 is the input"),
        (["-o", "out.mov", "--foreground", "clip.mp4", "--overwrite"], "clip.mp4 is the input"),
        (["-o", "clip.mp4/out.mov"], "clip.mp4 is not a folder"),
        (["-o", "out.mov", "--downsample", "0.001"], "0.001 leaves no pixel of 64x48 frames"),
    ],
)
def test_outputs_and_options_that_cannot_be(red_studio, clip, options, says):
    before = Path(clip).read_bytes()
    code, out, err = red_studio("matte", clip, *options)
    assert (code, out) == (1, "")
    (line,) = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert line.startswith("rvm-studio: ")
    assert says in line
    assert files() == ["clip.mp4"]
    assert Path(clip).read_bytes() == before


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("--downsample", value) for value in ("0", "1.5", "-1", "big", "nan", "")],
        *[("--fps", value) for value in ("0", "-25", "abc", "1/0", "nan", "inf")],
        *[("--quality", value) for value in ("-1", "best", "nan", "inf")],
        *[("--scene-cut", value) for value in ("0", "2", "clip.mp4", "nan")],
        *[("--chunk", value) for value in ("0", "-2", "1.5", "x")],
        *[("--warm-up", value) for value in ("-1", "x")],
        *[("--threads", value) for value in ("0", "-1", "all")],
        *[("--variant", "huge"), ("--refiner", "best")],
    ],
)
def test_wrong_values_are_refused_at_once(studio, clip, option, value):
    line = the_error(studio("matte", clip, "-o", "out.mov", f"{option}={value}"), code=2)
    assert f"argument {option}: " in line
    assert repr(value) in line


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--device", "gpu", "Unknown device 'gpu'. Use auto, cpu"),
        ("--device", "cuda:99", "99"),
        ("--precision", "fp8", "Unknown precision 'fp8'. Use auto, fp32"),
        ("--weights", "nowhere.safetensors", "nowhere.safetensors, which does not exist"),
        ("--weights", "clip.mp4", "clip.mp4 has an unknown suffix"),
    ],
)
def test_a_network_that_cannot_be_had(studio, clip, option, value, says):
    assert says in the_error(studio("matte", clip, "-o", "out.mov", option, value))
    assert files() == ["clip.mp4"]


def test_fp16_is_refused_on_the_cpu(studio, clip):
    ran = studio("matte", clip, "-o", "out.mov", "--device", "cpu", "--precision", "fp16")
    assert "fp16 is supported on GPUs only" in the_error(ran)


def test_missing_weights(studio, clip, monkeypatch):
    monkeypatch.setenv("RVM_WEIGHTS", str(Path("gone.safetensors").absolute()))
    line = the_error(studio("matte", clip, "-o", "out.mov"))
    assert "RVM_WEIGHTS is" in line
    assert "gone.safetensors, which does not exist" in line


@pytest.mark.parametrize(
    ("variant", "starter"),
    [("mobilenetv3", "--weights starter"), ("resnet50", "--variant mobilenetv3 --weights starter")],
)
def test_without_a_network_one_sentence_and_three_choices(studio, clip, monkeypatch, tmp_path, variant, starter):
    monkeypatch.delenv("RVM_WEIGHTS", raising=False)
    monkeypatch.setenv("RVM_MODELS_DIR", str(tmp_path / "models"))
    ran = studio("matte", clip, "-o", "out.mov", "--variant", variant, "--mirror", "http://127.0.0.1:9", "--quiet")
    assert ran.code == 1
    message, *choices = ran.err.splitlines()
    assert message.startswith(
        f"rvm-studio: http://127.0.0.1:9/rvm_{variant}.pth could not be downloaded: the server cannot be reached ("
    )
    assert choices == [
        f"  1. when you are online: rvm-studio weights fetch {variant}",
        f"  2. put rvm_{variant}.pth into {tmp_path / 'models'}, or use another file: --weights FILE",
        f"  3. for a rough matte, use the bundled weights: {starter}",
    ]


def test_what_to_use_instead_is_spelled_as_options(studio, clip):
    ran = studio("matte", clip, "-o", "out.mov", "--variant", "resnet50", "--weights", "starter")
    assert the_error(ran) == "rvm-studio: There are starter weights for mobilenetv3 only. Use --variant mobilenetv3."
    line = the_error(studio("matte", clip, "-o", "out.mov", "--device", "cpu", "--engine", "graph"))
    assert line == "rvm-studio: The engine graph needs a GPU. Use --engine auto."


def test_several_inputs_need_a_folder(red_studio, clip, make_clip):
    make_clip("other.mp4", frames=2)
    line = the_error(red_studio("matte", "clip.mp4", "other.mp4", "-o", "out.mov"))
    assert "Several inputs cannot all become out.mov. Give a folder" in line


def test_two_members_of_one_name(red_studio, make_clip):
    for folder in ("one", "two"):
        Path(folder).mkdir()
        make_clip(f"{folder}/take.mp4", frames=2)
    line = the_error(red_studio("matte", "one/take.mp4", "two/take.mp4", "-o", "out"))
    assert "one/take.mp4 and two/take.mp4 would both be written to" in line
    assert files() == ["one/take.mp4", "two/take.mp4"]
