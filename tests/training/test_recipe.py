"""The recipe against the table of the paper, as data."""

import dataclasses

import pytest
from rvm_studio.training import recipe
from rvm_studio.training.recipe import PRESETS, STAGES, Pass, stages_for

# stage, data, T low, T high, size low, size high, lr backbone, aspp, decoder with projections, refiner, epochs
TABLE = """
1 video 15 -  512    - 1e-4 2e-4 2e-4    0 15
2 video 50 -  512    - 5e-5 1e-4 1e-4    0  2
3 video 40 6  512 2048 1e-5 1e-5 1e-5 2e-4  1
4 image 40 6  512 2048 1e-5 1e-5 5e-5 2e-4  5
"""


@pytest.mark.parametrize("line", TABLE.split("\n")[1:-1])
def test_the_stages_are_those_of_the_paper(line):
    number, data, low_t, high_t, low_s, high_s, *rates, epochs = line.split()
    stage = STAGES[int(number) - 1]
    assert stage.number == int(number)
    assert stage.data == data
    assert stage.low == Pass(int(low_t), int(low_s), 1.0)
    assert stage.high == (None if high_t == "-" else Pass(int(high_t), int(high_s), 0.25))
    rate = stage.rates
    assert [rate.backbone, rate.aspp, rate.decoder, rate.refiner] == [float(x) for x in rates]
    assert stage.epochs == int(epochs)


def test_there_are_four_stages():
    assert len(STAGES) == 4


def test_the_passes_of_a_step():
    assert [stage.passes for stage in STAGES] == [("low", "segmentation")] * 2 + [("low", "high", "segmentation")] * 2
    assert [recipe.segmentation_kind(step) for step in range(4)] == ["video", "image", "video", "image"]


def test_the_augmentation_is_that_of_the_issue():
    video, image = recipe.augmentation_for("video"), recipe.augmentation_for("image")
    odds = ("fgr_motion", "bgr_motion", "noise", "color_jitter", "grey", "sharpness", "blur", "flip", "pause")
    assert [getattr(video, name) for name in odds] == [0.3, 0.3, 0.1, 0.3, 0.02, 0.1, 0.02, 0.5, 0.03]
    assert [getattr(image, name) for name in odds] == [0.95, 0.3, 0.05, 0.3, 0.03, 0.05, 0.02, 0.5, 0.03]
    for settings in (video, image):
        motion = settings.motion
        assert (motion.rotation, motion.shift, motion.scale, motion.shear) == (10, 0.1, (0.9, 1.1), 5)
        assert (settings.fgr_pose.scale, settings.bgr_pose.scale) == ((0.5, 1), (1, 1.5))
        assert settings.fgr_pose.aspect == settings.bgr_pose.aspect == (0.9, 1.1)
        assert (settings.noise_sigma, settings.noise_grain, settings.blur_sigma) == (0.2, (1, 4), 10)
    segmentation = recipe.SEGMENTATION_AUGMENTATION
    assert (segmentation.rotation, segmentation.shear) == (20, 10)
    assert (segmentation.area, segmentation.aspect) == ((0.5, 1), (0.7, 1.3))
    assert set(dataclasses.astuple(segmentation.jitter)) == {0.1}


def test_the_data_facts():
    assert recipe.CLIP_SPEEDS == (0.5, 1, 2, 3, 4, 5)
    assert recipe.COCO_FOREGROUND == (1, 27, 32)
    assert recipe.YOUTUBEVIS_PERSON == 26
    assert recipe.VIDEOMATTE_VALIDATION == ("0000", "0100", "0200", "0300")
    assert recipe.BATCH_CLIPS == 4


@pytest.mark.parametrize("name", ["12gb", "24gb", "full"])
def test_a_card_changes_nothing_that_is_learnt(name):
    assert stages_for(PRESETS[name]) == STAGES


def test_a_small_card_sees_shorter_clips_and_nothing_else():
    stages = stages_for(PRESETS["8gb"])
    assert [stage.low.frames for stage in stages] == [15, 32, 32, 32]
    frames = (15, 50, 40, 40)
    assert stages_for(dataclasses.replace(PRESETS["8gb"], frames=frames)) == STAGES


def test_the_tiny_preset_keeps_the_order_of_things():
    stages = stages_for(PRESETS["tiny"])
    for tiny, stage in zip(stages, STAGES, strict=True):
        assert (tiny.number, tiny.data, tiny.passes) == (stage.number, stage.data, stage.passes)
        assert tiny.low.size >= recipe.SMALLEST_SIZE
        assert tiny.low.frames <= stage.low.frames
        assert tiny.epochs * (tiny.steps or 0) > 0
        factor = tiny.rates.backbone / stage.rates.backbone
        assert tiny.rates.refiner == pytest.approx(stage.rates.refiner * factor)
        assert tiny.rates.decoder == pytest.approx(stage.rates.decoder * factor)
    assert stages[1].low.frames > stages[0].low.frames  # stage 2 is there for long clips


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_preset_divides_the_batch(preset):
    assert recipe.BATCH_CLIPS % preset.clips == 0
    assert preset.precision in ("float32", "bfloat16")
