"""Pictures that an engine draws by itself against those made from its float results."""

# T frames, H, W

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from rvm_studio.core import MattingNetwork
from rvm_studio.core.clip_options import ClipOptions, Output
from rvm_studio.core.engines import build, choose
from rvm_studio.core.engines.kernel_runner import compiled_kernels
from rvm_studio.core.frame_renderer import FrameRenderer
from rvm_studio.core.matting_session import MattingSession
from rvm_studio.core.video_color import ColorTags
from rvm_studio.core.video_reader import ClipInfo, SourceFrame

needs_numba = pytest.mark.skipif(compiled_kernels() is None, reason="numba is not installed")


@pytest.fixture(scope="module")
def engine():
    torch.manual_seed(0)
    network = MattingNetwork("mobilenetv3", "fast_guided_filter").eval()
    return build(network, choose(torch.device("cpu"), "folded", "fp32"))


def rendered(engine, kinds, bit_depth, keeps_results, chunk=1, **options):
    """The pictures of four noisy frames, and the dtypes that the engine was asked for."""
    generator = np.random.default_rng(3)
    dtype = np.uint16 if bit_depth > 8 else np.uint8
    images = generator.integers(0, np.iinfo(dtype).max, (4, 70, 90, 3), dtype, endpoint=True)
    tags = ColorTags(1, 1, 1, 1)
    info = ClipInfo(
        Path("a.mp4"), "video", 90, 70, Fraction(25), Fraction(1, 25), 4, bit_depth, tags, Fraction(1), False
    )
    asked = []

    class Watched:
        name, variant, device, dtype, draws = engine.name, engine.variant, engine.device, engine.dtype, engine.draws

        def run(self, *arguments, **how):
            asked.append(how["out"])
            return engine.run(*arguments, **how)

    session = MattingSession(Watched(), downsample_ratio=0.5, chunk=chunk)
    outputs = [Output(Path(f"{number}.mkv"), kind) for number, kind in enumerate(kinds)]
    renderer = FrameRenderer(info, session, outputs, ClipOptions(**options), keeps_results)
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
    expected, asked = rendered(engine, kinds, bit_depth, keeps_results=True, chunk=chunk)
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
