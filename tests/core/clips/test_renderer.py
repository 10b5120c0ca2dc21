"""Pictures that an engine draws by itself against those made from its float results."""

# T frames, H, W

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.clips.options import ClipOptions, Output
from rvm_studio.core.clips.renderer import FrameRenderer
from rvm_studio.core.engines import Engine, build, choose
from rvm_studio.core.engines.full_size.kernel_runner import compiled_kernels
from rvm_studio.core.pictures.edges import EdgeOptions
from rvm_studio.core.stream.session import MattingSession
from rvm_studio.core.video.color import ColorTags
from rvm_studio.core.video.reader import ClipInfo, SourceFrame

needs_numba = pytest.mark.skipif(compiled_kernels() is None, reason="numba is not installed")


@pytest.fixture(scope="module")
def engine():
    torch.manual_seed(0)
    network = MattingNetwork("mobilenetv3", "fast_guided_filter").eval()
    return build(network, choose(torch.device("cpu"), "folded", "fp32"))


def rendered(engine, kinds, bit_depth, keeps_results, chunk=1, renderers=None, **options):
    """The pictures of four noisy frames, and the dtypes that the engine was asked for."""
    generator = np.random.default_rng(3)
    dtype = np.uint16 if bit_depth > 8 else np.uint8
    images = generator.integers(0, np.iinfo(dtype).max, (4, 70, 90, 3), dtype, endpoint=True)
    tags = ColorTags(1, 1, 1, 1)
    info = ClipInfo(
        path=Path("a.mp4"), kind="video", frame_count=4, height=70, width=90, frame_rate=Fraction(25),
        time_base=Fraction(1, 25), tags=tags, bit_depth=bit_depth,
    )  # fmt: skip
    asked = []

    class Watched(Engine):
        name, variant, device, dtype, draws = engine.name, engine.variant, engine.device, engine.dtype, engine.draws

        def run(self, *arguments, **how):
            asked.append(how["out"])
            return engine.run(*arguments, **how)

    session = MattingSession(Watched(), downsample_ratio=0.5, chunk=chunk)
    outputs = [Output(Path(f"{number}.mkv"), kind) for number, kind in enumerate(kinds)]
    renderer = FrameRenderer(info, session, outputs, ClipOptions(**options), keeps_results)
    if renderers is not None:
        renderers.append(renderer)
    frames = [SourceFrame(image, t, t) for t, image in enumerate(images)]
    depths = [bit_depth] * len(kinds)
    results = [
        pictures
        for begin in range(0, 4, chunk)
        for pictures in renderer.render(frames[begin : begin + chunk], [], depths)
    ]
    assert [pictures.pts for pictures in results] == [0, 1, 2, 3]
    return [pictures.images for pictures in results], set(asked)


@needs_numba
@pytest.mark.parametrize("chunk", [1, 2])
@pytest.mark.parametrize("bit_depth", [8, 10])
@pytest.mark.parametrize(
    "kinds", [["alpha"], ["composite"], ["matte"], ["foreground"], ["alpha", "composite"], ["matte", "alpha", "alpha"]]
)
def test_drawn_by_the_engine_as_from_floats(engine, kinds, bit_depth, chunk):
    drawn, asked = rendered(engine, kinds, bit_depth, keeps_results=False, chunk=chunk)
    assert asked == {torch.uint8 if bit_depth == 8 else torch.uint16}, "no float picture of the full size"
    by_floats = {"edges": EdgeOptions()}  # which leave alpha as it is
    expected, asked = rendered(engine, kinds, bit_depth, keeps_results=False, chunk=chunk, **by_floats)
    assert asked == {torch.float32}
    for images, expected_images in zip(drawn, expected, strict=True):
        for kind, image, other in zip(kinds, images, expected_images, strict=True):
            assert image.dtype == other.dtype
            assert image.shape == other.shape
            difference = np.abs(image.astype(int) - other)
            if kind in ("matte", "foreground"):  # colours are hidden where alpha rounds to 0
                assert (difference > 1).mean() < 1e-3
            else:
                assert difference.max() <= 1
            assert (difference > 0).mean() < (0.005 if bit_depth == 8 else 0.2)


@needs_numba
@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("kind", ["composite", "matte", "foreground"])
def test_what_is_shown_beside_changes_no_bit(engine, kind, chunk, tmp_path):
    plain, _ = rendered(engine, [kind, "alpha"], 8, keeps_results=False, chunk=chunk)
    shown, asked = rendered(
        engine, [kind, "alpha", "preview"], 8, keeps_results=True, chunk=chunk, preview=tmp_path / "sheet.png"
    )
    assert asked == {torch.uint8}
    for images, (picture, alpha, preview) in zip(plain, shown, strict=True):
        assert np.array_equal(picture, images[0])
        assert np.array_equal(alpha, images[1])
        assert preview.shape == (70, 90, 3)


@needs_numba
def test_the_sheet_and_results_of_drawn_pictures(engine, tmp_path):
    """As those that go through floats, but for 8 bits."""
    drawn, floats = {}, {}
    for found, options in ((drawn, {}), (floats, {"edges": EdgeOptions()})):
        rendered(
            engine, ["matte"], 8, keeps_results=True, preview=tmp_path / "sheet.png", renderers=(made := []), **options
        )
        found["rows"] = [np.stack(pictures) for _, _, pictures in made[0].sheet._rows]
        found["last"] = made[0].last_result()
    assert len(drawn["rows"]) == len(floats["rows"]) == 4
    for row, expected in zip(drawn["rows"], floats["rows"], strict=True):
        assert np.abs(row.astype(int) - expected).mean() < 0.5
    for result, expected in zip(drawn["last"], floats["last"], strict=True):
        assert (result.shape, result.dtype) == (expected.shape, torch.float32)
        assert (result - expected).abs().max() <= 0.51 / 255


@needs_numba
@pytest.mark.parametrize(
    ("kinds", "options"),
    [
        (["composite", "matte"], {}),
        (["composite"], {"background": "blur"}),
        (["matte"], {"premultiplied": True}),
        (["composite"], {"decontaminate": 0.5}),
    ],
)
def test_what_an_engine_cannot_draw_goes_through_floats(engine, kinds, options):
    _, asked = rendered(engine, kinds, 8, keeps_results=False, **options)
    assert asked == {torch.float32}
