"""What stands where the background was; large and odd sizes; corrected colours. Against arithmetic."""

import numpy as np
import pytest
from headless_obs import color, image, matte, scene
from PIL import Image

KEY = 0xFF30D010  # blue 0x30, green 0xD0, red 0x10


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """[H, W, 3] uint8: something with every level, that differs in all corners."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([255 * x / (width - 1), 255 * y / (height - 1), (7 * x + 3 * y + seed) % 256], -1)
    return rgb.round().astype(np.uint8)


def saved(rgb: np.ndarray, path):
    Image.fromarray(rgb).save(path)
    return path


def light(coded: np.ndarray) -> np.ndarray:
    """sRGB 0..255 to linear light 0..1 (IEC 61966-2-1)."""
    coded = coded / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def coded(light: np.ndarray) -> np.ndarray:
    return 255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def mix(front: np.ndarray, back: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return coded(light(front) * alpha + light(back) * (1 - alpha))


def shown_frames(obs) -> int:
    return sum(slot["shown_frames"] for slot in obs.report()["slots"])


def start(start_obs, rgb, tmp_path, mask, **settings):
    """OBS with the picture over black, once mattes have come."""
    height, width = rgb.shape[:2]
    path = saved(rgb, tmp_path / "picture.png")
    sources = [scene("Scene", ["black", "cam"]), color("black", 0xFF000000, width, height)]
    obs = start_obs([*sources, image("cam", path, [matte(**settings)])], mask, size=(width, height))
    obs.wait_until(lambda: shown_frames(obs) > 5)
    return obs


def shot(*arguments, **settings) -> np.ndarray:
    """[H, W, 3]"""
    return start(*arguments, **settings).screenshot("Scene")[..., :3].astype(int)


@pytest.mark.parametrize("size", [(321, 179), (38, 422)])
def test_alpha_only_is_the_matte(start_obs, tmp_path, size):
    """The worker's matte is the picture's red channel: it comes back in its place, at its size, unchanged."""
    rgb = picture(*size)
    assert np.array_equal(shot(start_obs, rgb, tmp_path, "red", output="alpha"), rgb[..., :1].repeat(3, -1))


def test_color_key_is_mixed_in_linear_light(start_obs, tmp_path):
    rgb = picture(320, 180)
    seen = shot(start_obs, rgb, tmp_path, "red", output="color_key", key_color=KEY)
    expected = mix(rgb, np.array([0x10, 0xD0, 0x30]), rgb[..., :1] / 255)
    assert np.abs(seen - expected).max() <= 1.01
    assert np.array_equal(seen[:, 0], np.broadcast_to([0x10, 0xD0, 0x30], (180, 3)))
    assert np.array_equal(seen[:, -1], rgb[:, -1])


def test_image_behind(start_obs, tmp_path):
    """An image of twice the size and another shape: its middle fills the picture."""
    rgb, behind = picture(320, 180), picture(320, 240, 90)
    path = saved(behind.repeat(2, 0).repeat(2, 1), tmp_path / "behind.png")
    seen = shot(start_obs, rgb, tmp_path, "red", output="image", image_file=str(path))
    expected = mix(rgb, behind[30:210], rgb[..., :1] / 255)
    assert np.abs(seen - expected).max() <= 1.01


def test_blurred_background(start_obs, tmp_path):
    """A sharp person (red, matte 255) before stripes (matte 0): the stripes melt into their mean, without any red.
    Close to the person there are stripes on one side only."""
    rgb = np.zeros((180, 320, 3), np.uint8)
    rgb[:, :, 1:] = np.where(np.arange(320) // 4 % 2, 200, 40)[:, None]
    rgb[40:140, 100:200] = [255, 0, 0]
    seen = shot(start_obs, rgb, tmp_path, "red", output="blur", blur=100)
    assert np.array_equal(seen[40:140, 100:200], rgb[40:140, 100:200])
    background = np.delete(seen.reshape(-1, 3), np.flatnonzero(rgb[..., 0].ravel()), 0)
    assert background[:, 0].max() == 0
    mean = coded((light(np.array(200.0)) + light(np.array(40.0))) / 2)
    for apart in (seen[:, 20:80], seen[:, 220:300], seen[:20, 20:300], seen[160:, 20:300]):
        assert np.abs(apart[..., 1:] - mean).max() < 3


def test_the_blur_grows_with_its_setting(start_obs, tmp_path):
    rgb = picture(320, 180) // 2 + np.random.default_rng(0).integers(0, 120, (180, 320, 1), np.uint8)
    rough = [
        np.abs(np.diff(shot(start_obs, rgb, tmp_path, 0, output="blur", blur=blur), axis=1)).mean()
        for blur in (1, 40, 100)
    ]
    assert rough[0] > 2 * rough[1] > 2 * rough[2]
    assert np.abs(np.diff(rgb.astype(int), axis=1)).mean() > rough[0]


@pytest.mark.parametrize("step", [20, -20])
def test_corrected_colors(start_obs, tmp_path, step):
    rgb = picture(320, 180)
    seen = shot(start_obs, rgb, tmp_path, f"128,{step}")
    expected = mix(np.clip(rgb + round(step / 2) * 2.0, 0, 255), np.zeros(3), np.array(128 / 255))
    assert np.abs(seen - expected).max() <= 1.01


def test_no_correction_where_the_matte_is_full(start_obs, tmp_path):
    rgb = picture(320, 180)
    assert np.array_equal(shot(start_obs, rgb, tmp_path, "255,40"), rgb)


def test_a_large_picture_is_sent_smaller_and_drawn_whole(start_obs, tmp_path):
    rgb = picture(2560, 1442)
    obs = start(start_obs, rgb, tmp_path, "red", output="alpha")
    seen = obs.screenshot("Scene")[..., :3].astype(int)
    width, height = obs.report()["sizes"][0]
    assert 1920 * 1000 < width * height <= 1920 * 1088
    assert width / height == pytest.approx(2560 / 1442, abs=0.002)
    assert np.abs(seen[..., 0] - rgb[..., 0].astype(int)).max() <= 2
