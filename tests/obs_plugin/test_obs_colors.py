"""The filter changes no colour: a full matte is no filter at all, half a matte is OBS's own half opacity."""

import subprocess

import numpy as np
import pytest
from headless_obs import color, image, matte, media, scene, video_filter
from PIL import Image


@pytest.fixture(scope="module")
def gradient(tmp_path_factory):
    """A picture with all levels of all channels, and one of the same with soft transparency. Its size is odd."""
    y, x = np.mgrid[0:179, 0:319]
    rgb = np.stack([x % 256, (x + 2 * y) % 256, (3 * y) % 256], -1)
    alpha = np.clip((x - 40) * 2, 0, 255)[..., None]
    folder = tmp_path_factory.mktemp("pictures")
    Image.fromarray(rgb.astype(np.uint8)).save(folder / "opaque.png")
    Image.fromarray(np.concatenate([rgb, alpha], -1).astype(np.uint8)).save(folder / "soft.png")
    return folder


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def over_purple(name: str) -> dict:
    """A scene in which the source lies over a colour, so that blending counts."""
    return scene(f"{name} over purple", ["purple", name])


def opacity(value: float) -> dict:
    return video_filter("color_filter", "half", {"opacity": value}, versioned="color_filter_v2")


def pictures(gradient, *filters):
    """Each picture without a filter and with each filter, by itself and in a scene over a colour."""
    sources = [color("purple", 0xFFB048A0, 319, 179)]
    for kind in ("opaque", "soft"):
        sources += [image(kind, gradient / f"{kind}.png")]
        sources += [image(f"{kind} {f['name']}", gradient / f"{kind}.png", [f]) for f in filters]
        sources += [over_purple(kind), *(over_purple(f"{kind} {f['name']}") for f in filters)]
    return sources


def show_all(obs, names) -> None:
    """The filters have given their first mattes: a source that is not in the programme is drawn only by screenshots."""
    for name in names:
        obs.wait_until(lambda name=name: obs.screenshot(name)[..., 3].any(), name)


@pytest.mark.parametrize("kind", ["opaque", "soft"])
def test_full_matte_is_no_filter(start_obs, gradient, kind):
    names = [f"{kind} matte", f"{kind} matte over purple"]
    every = scene("Scene", ["purple", kind, f"{kind} matte"])
    obs = start_obs([every, *pictures(gradient, matte())], 255, size=(319, 179))
    show_all(obs, names)
    assert difference(obs.screenshot(f"{kind} matte"), obs.screenshot(kind)) == 0
    assert difference(obs.screenshot(f"{kind} matte over purple"), obs.screenshot(f"{kind} over purple")) == 0


@pytest.mark.parametrize("kind", ["opaque", "soft"])
def test_half_matte_is_half_opacity(start_obs, gradient, kind):
    every = scene("Scene", ["purple", kind, f"{kind} matte", f"{kind} half"])
    obs = start_obs([every, *pictures(gradient, matte(), opacity(128 / 255))], 128, size=(319, 179))
    show_all(obs, [f"{kind} matte"])
    ours, theirs = obs.screenshot(f"{kind} matte over purple"), obs.screenshot(f"{kind} half over purple")
    assert difference(theirs, obs.screenshot(f"{kind} over purple")) > 50
    assert difference(ours, theirs) <= 1


@pytest.mark.parametrize("canvas", [{}, {"color_format": "P010", "color_space": "2100PQ"}])
def test_hdr_video_looks_as_without_the_filter(start_obs, tmp_path, canvas):
    """The filter works in standard range, into which OBS brings a brighter source by itself."""
    clip = tmp_path / "hdr.mkv"
    tags = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"]
    still = "trim=end_frame=1,loop=loop=59:size=1,format=yuv420p10le"  # two seconds of one picture
    source = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=30", "-vf", still]
    subprocess.run(
        ["ffmpeg", "-v", "error", *source, "-frames:v", "60", "-c:v", "libx264", "-qp", "0", *tags, str(clip)],
        check=True,
    )
    obs = start_obs([media("raw", clip), media("cam", clip, [matte()])], 255, size=(320, 180), **canvas)
    show_all(obs, ["raw", "cam"])
    assert difference(obs.screenshot("raw"), obs.screenshot("cam")) == 0
