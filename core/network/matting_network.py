"""The whole network: src, rec -> fgr, pha, rec (paper section 3), and its segmentation head."""

# B batch, T frames, N = B*T, C channels, H, W full size, h, w small size

import math
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import MobileNetV3Encoder, ResNet50Encoder
from .guided_filter import REFINERS
from .lraspp import LRASPP
from .recurrent_decoder import Projection, Rec, RecurrentDecoder

ENCODERS = {"mobilenetv3": MobileNetV3Encoder, "resnet50": ResNet50Encoder}
POOLED_CHANNELS = {"mobilenetv3": 128, "resnet50": 256}
DECODER_CHANNELS = {"mobilenetv3": (80, 40, 32, 16), "resnet50": (128, 64, 32, 16)}


class MattingOutput(NamedTuple):
    """fgr [B, T, 3, H, W] straight foreground 0..1, pha [B, T, 1, H, W] alpha 0..1 (without T for 4-D input),
    rec the state after the last frame."""

    fgr: Tensor
    pha: Tensor
    rec: Rec


class SegmentationOutput(NamedTuple):
    """seg [B, T, 1, h, w] logits at the small size (without T for 4-D input), rec the state after the last frame."""

    seg: Tensor
    rec: Rec


def small_size(height: int, width: int, downsample_ratio: float) -> tuple[int, int]:
    """The size the network works at: floor(size * ratio), as `interpolate` reduces by scale factor."""
    return math.floor(height * downsample_ratio), math.floor(width * downsample_ratio)


class MattingNetwork(nn.Module):
    """Robust Video Matting. State-dict keys are those of the official release, so its checkpoints load strictly.

    variant: "mobilenetv3" (3.7 M parameters) or "resnet50" (26.9 M).
    refiner: "deep_guided_filter" or "fast_guided_filter" (has no parameters); used where downsample_ratio < 1.
    pretrained_backbone: start the encoder from torchvision's ImageNet weights (downloads them); for training.
    Raises ValueError for an unknown variant or refiner.
    """

    def __init__(
        self,
        variant: str = "mobilenetv3",
        refiner: str = "deep_guided_filter",
        pretrained_backbone: bool = False,
    ):
        super().__init__()
        if variant not in ENCODERS:
            raise ValueError(f"unknown variant {variant!r}; expected one of {', '.join(ENCODERS)}")
        if refiner not in REFINERS:
            raise ValueError(f"unknown refiner {refiner!r}; expected one of {', '.join(REFINERS)}")
        self.variant = variant
        self.refiner_name = refiner
        self.backbone = ENCODERS[variant](pretrained_backbone)
        f1, f2, f3, f4 = self.backbone.channels
        pooled = POOLED_CHANNELS[variant]
        self.aspp = LRASPP(f4, pooled)
        self.decoder = RecurrentDecoder((f1, f2, f3, pooled), DECODER_CHANNELS[variant])
        hid_channels = DECODER_CHANNELS[variant][-1]
        self.project_mat = Projection(hid_channels, 4)
        self.project_seg = Projection(hid_channels, 1)
        self.has_segmentation = True
        """False where loaded weights came without the segmentation head: `segment` would give noise."""
        self.refiner = REFINERS[refiner]()

    def forward(self, src: Tensor, rec: Rec | None = None, downsample_ratio: float = 1.0) -> MattingOutput:
        """Matte T frames of B streams.

        src: [B, T, 3, H, W], or [B, 3, H, W] for one frame of each of B streams; RGB 0..1.
        rec: the state that a previous call returned for the same size and ratio, or None at a stream's start.
        downsample_ratio: 0 < ratio <= 1; below 1 the network runs at floor(H*ratio) x floor(W*ratio) and the
        refiner brings the result to the full size.
        """
        frames, batch = self._flatten(src, rec, downsample_ratio)
        small = self.reduce(frames, downsample_ratio)
        hid, rec = self._hidden(small, rec, batch)
        fgr, pha = self.project_mat(hid).split([3, 1], 1)
        if downsample_ratio != 1:
            fgr, pha = self.refiner(frames, small, fgr, pha, hid)
        fgr = (fgr + frames).clamp(0, 1)  # the network predicts the difference from the picture
        pha = pha.clamp(0, 1)
        return MattingOutput(self._restore(fgr, src), self._restore(pha, src), rec)

    def segment(self, src: Tensor, rec: Rec | None = None, downsample_ratio: float = 1.0) -> SegmentationOutput:
        """As `forward`, through the segmentation head: raw logits at the small size, no refiner."""
        frames, batch = self._flatten(src, rec, downsample_ratio)
        hid, rec = self._hidden(self.reduce(frames, downsample_ratio), rec, batch)
        return SegmentationOutput(self._restore(self.project_seg(hid), src), rec)

    @staticmethod
    def reduce(frames: Tensor, downsample_ratio: float) -> Tensor:
        """[N, 3, H, W] -> [N, 3, h, w]. The sampling step is exactly 1/ratio, also where H*ratio is no integer."""
        if downsample_ratio == 1:
            return frames
        return F.interpolate(
            frames,
            scale_factor=downsample_ratio,
            mode="bilinear",
            align_corners=False,
            recompute_scale_factor=False,
        )

    def _hidden(self, small: Tensor, rec: Rec | None, batch: int) -> tuple[Tensor, Rec]:
        f1, f2, f3, f4 = self.backbone(small)
        return self.decoder(small, (f1, f2, f3, self.aspp(f4)), rec, batch)

    @staticmethod
    def _flatten(src: Tensor, rec: Rec | None, downsample_ratio: float) -> tuple[Tensor, int]:
        assert src.ndim in (4, 5), f"src must be [B, T, 3, H, W] or [B, 3, H, W], got {list(src.shape)}"
        assert src.shape[-3] == 3, f"src must have 3 channels (RGB), got {list(src.shape)}"
        assert src.is_floating_point(), f"src must be floating point in 0..1, got {src.dtype}"
        assert 0 < downsample_ratio <= 1, f"downsample_ratio must be above 0 and at most 1: {downsample_ratio}"
        assert rec is None or len(rec) == 4, "rec must be None or (r1, r2, r3, r4)"
        return (src.flatten(0, 1) if src.ndim == 5 else src), src.shape[0]

    @staticmethod
    def _restore(x: Tensor, src: Tensor) -> Tensor:
        return x.unflatten(0, src.shape[:2]) if src.ndim == 5 else x
