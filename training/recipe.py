"""The training recipe as data: four stages, presets that fit them to a machine, and the augmentation's parameters.

Source: Robust Video Matting (arXiv 2108.11515, section 4) and its released command lines.
"""

from dataclasses import dataclass, replace

BATCH_CLIPS = 4  # clips per optimiser step, over all processes and accumulated micro-batches
SMALLEST_SIZE = 128  # sides are drawn from [S/2, S), and the loss needs 64 pixels
HIGH_RESOLUTION_RATIO = 0.25
COCO_FOREGROUND = (1, 27, 32)  # person, backpack, tie
YOUTUBEVIS_PERSON = 26
VIDEOMATTE_VALIDATION = ("0000", "0100", "0200", "0300")
CLIP_SPEEDS = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0)
REVERSED_SHARE = 0.5
VIDEO_BACKGROUND_SHARE = 0.5


@dataclass(frozen=True)
class Pass:
    """A forward and backward pass within a step. Sides are below `size`; ratio: the downsample_ratio."""

    frames: int
    size: int
    ratio: float


@dataclass(frozen=True)
class LearningRates:
    backbone: float
    aspp: float
    decoder: float  # of the decoder and of both projections
    refiner: float


@dataclass(frozen=True)
class Stage:
    number: int
    data: str  # "video": filmed clips; "image": stills given a motion
    low: Pass
    high: Pass | None
    rates: LearningRates
    epochs: int
    steps: int | None = None  # per epoch; None: until all data is used

    @property
    def passes(self) -> tuple[str, ...]:
        """The passes in the order in which a step runs them, each with its own backward and optimiser step."""
        return ("low", "segmentation") if self.high is None else ("low", "high", "segmentation")


def segmentation_kind(step: int) -> str:
    """The segmentation data that a step (0, 1, 2 ... within the stage) uses: "video" clips or "image" with T = 1."""
    return "image" if step % 2 else "video"


STAGES = (
    Stage(1, "video", Pass(15, 512, 1.0), None, LearningRates(1e-4, 2e-4, 2e-4, 0.0), epochs=15),
    Stage(2, "video", Pass(50, 512, 1.0), None, LearningRates(5e-5, 1e-4, 1e-4, 0.0), epochs=2),
    Stage(
        3,
        "video",
        Pass(40, 512, 1.0),
        Pass(6, 2048, HIGH_RESOLUTION_RATIO),
        LearningRates(1e-5, 1e-5, 1e-5, 2e-4),
        epochs=1,
    ),
    Stage(
        4,
        "image",
        Pass(40, 512, 1.0),
        Pass(6, 2048, HIGH_RESOLUTION_RATIO),
        LearningRates(1e-5, 1e-5, 5e-5, 2e-4),
        epochs=5,
    ),
)


@dataclass(frozen=True)
class Preset:
    """Fits the recipe to a machine. "tiny" changes what is learnt and "8gb" the length of the clips; the others change
    only how it is computed."""

    name: str
    title: str
    clips: int  # at once on one device; accumulation makes up the rest of BATCH_CLIPS
    checkpoint_frames: int | None  # frames whose activations are recomputed together; None: keep all activations
    precision: str  # of the forward pass: "float32" or "bfloat16"
    segmentation_images: int | None = None  # pictures per clip of the batch; None: T of the low pass
    frames: tuple[int, int, int, int] | None = None  # T of the low pass, per stage; None: the recipe's
    high_frames: int | None = None
    size: int | None = None  # S of the low pass
    high_size: int | None = None
    steps: tuple[int, int, int, int] | None = None  # per stage, instead of the recipe's epochs
    rate_factor: float = 1.0  # for all learning rates
    statistics_momentum: float | None = None  # for all batch normalisation; None: each layer's own


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "tiny",
            "a short run of every stage on a CPU, in minutes",
            clips=4,
            checkpoint_frames=None,
            precision="float32",
            segmentation_images=2,
            frames=(4, 8, 5, 5),
            high_frames=2,
            size=128,
            high_size=384,
            steps=(360, 16, 10, 10),
            rate_factor=8.0,  # for some 400 steps instead of some 40,000; at 20 alpha becomes 0 everywhere and stays so
            statistics_momentum=0.1,  # with the encoder's own 0.01, the initial statistics outlast such a short run
        ),
        Preset(
            "8gb",
            "a GPU with 8 GB, with shorter clips in stages 2 to 4",
            clips=1,
            checkpoint_frames=5,
            precision="bfloat16",
            frames=(15, 32, 32, 32),
        ),
        Preset("12gb", "a GPU with 12 GB", clips=1, checkpoint_frames=10, precision="bfloat16"),
        Preset("24gb", "a GPU with 24 GB", clips=2, checkpoint_frames=25, precision="bfloat16"),
        Preset("full", "several GPUs with 40 GB or more", clips=1, checkpoint_frames=None, precision="float32"),
    )
}


def stages_for(preset: Preset) -> tuple[Stage, ...]:
    """The four stages with the preset's changes."""
    result = []
    for place, stage in enumerate(STAGES):
        low = replace(
            stage.low,
            frames=preset.frames[place] if preset.frames else stage.low.frames,
            size=preset.size or stage.low.size,
        )
        assert low.size >= SMALLEST_SIZE, f"{low.size} is below {SMALLEST_SIZE}"
        high = stage.high and replace(
            stage.high, frames=preset.high_frames or stage.high.frames, size=preset.high_size or stage.high.size
        )
        rates = LearningRates(*(rate * preset.rate_factor for rate in vars(stage.rates).values()))
        epochs, steps = (1, preset.steps[place]) if preset.steps else (stage.epochs, stage.steps)
        result.append(replace(stage, low=low, high=high, rates=rates, epochs=epochs, steps=steps))
    return tuple(result)


@dataclass(frozen=True)
class PoseRange:
    """The range from which an affine pose is drawn, uniformly (scale and aspect uniformly in their logarithm)."""

    rotation: float = 10.0  # degrees to either side
    shift: float = 0.1  # of the side, in x and in y
    shear: float = 5.0  # degrees to either side
    scale: tuple[float, float] = (1.0, 1.0)
    aspect: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Jitter:
    """Colour changes: factors from 1 - x to 1 + x; the hue rotates by up to `hue` of a turn to either side."""

    brightness: float
    contrast: float
    saturation: float
    hue: float


@dataclass(frozen=True)
class MattingAugmentation:
    """The probability of each change, per clip, and the ranges. Lengths in pixels are at the full size S."""

    fgr_motion: float
    bgr_motion: float  # half of these motions move only the background, half of them the whole scene
    noise: float
    color_jitter: float
    grey: float
    sharpness: float
    blur: float
    flip: float
    pause: float
    motion: PoseRange = PoseRange(scale=(0.9, 1.1))  # for both ends of a motion
    fgr_pose: PoseRange = PoseRange(scale=(0.5, 1.0), aspect=(0.9, 1.1))  # constant throughout the clip
    bgr_pose: PoseRange = PoseRange(scale=(1.0, 1.5), aspect=(0.9, 1.1))
    noise_sigma: float = 0.2  # maximum; white is 1
    noise_grain: tuple[float, float] = (1.0, 4.0)  # pixels
    jitter: Jitter = Jitter(0.15, 0.15, 0.15, 0.05)
    sharpness_factor: float = 4.0  # maximum; 0 is a 3x3 blur, 1 the unchanged picture
    blur_sigma: float = 10.0  # pixels, maximum


VIDEO_AUGMENTATION = MattingAugmentation(
    fgr_motion=0.3,
    bgr_motion=0.3,
    noise=0.1,
    color_jitter=0.3,
    grey=0.02,
    sharpness=0.1,
    blur=0.02,
    flip=0.5,
    pause=0.03,
)
IMAGE_AUGMENTATION = replace(VIDEO_AUGMENTATION, fgr_motion=0.95, noise=0.05, grey=0.03, sharpness=0.05)


@dataclass(frozen=True)
class SegmentationAugmentation:
    rotation: float = 20.0  # degrees to either side
    shear: float = 10.0
    area: tuple[float, float] = (0.5, 1.0)  # share of the picture that is kept
    aspect: tuple[float, float] = (0.7, 1.3)  # of that part
    flip: float = 0.5
    jitter: Jitter = Jitter(0.1, 0.1, 0.1, 0.1)


SEGMENTATION_AUGMENTATION = SegmentationAugmentation()


def augmentation_for(data: str) -> MattingAugmentation:
    """The augmentation for a stage's kind of data."""
    return {"video": VIDEO_AUGMENTATION, "image": IMAGE_AUGMENTATION}[data]
