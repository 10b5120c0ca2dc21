"""The whole network: src, rec -> fgr, pha, rec (paper section 3), and its segmentation head."""

# B batch, T frames, N = B*T, C channels, H, W full size, h, w small size

import math
from typing import NamedTuple, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from .backbone import MobileNetV3Encoder, ResNet50Encoder
from .guided_filter import REFINERS
from .lraspp import LRASPP
from .recurrent_decoder import Projection, Rec, RecurrentDecoder

ENCODERS = {"mobilenetv3": MobileNetV3Encoder, "resnet50": ResNet50Encoder}
POOLED_CHANNELS = {"mobilenetv3": 128, "resnet50": 256}
DECODER_CHANNELS = {"mobilenetv3": (80, 40, 32, 16), "resnet50": (128, 64, 32, 16)}


class View(Protocol):
    """How the network sees a small picture, see core.pictures.view."""

    def __call__(self, small: Tensor) -> Tensor: ...

    def residual_of_source(self, residual: Tensor, seen: Tensor) -> Tensor: ...


class MattingOutput(NamedTuple):
    """The network's result.

    Attributes:
        fgr: [B, T, 3, H, W] straight foreground, 0..1 ([B, 3, H, W] for 4-D input).
        pha: [B, T, 1, H, W] alpha, 0..1 ([B, 1, H, W] for 4-D input).
        rec: The state after the last frame.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> network = core.MattingNetwork().eval()
        >>> with torch.inference_mode():
        ...     fgr, pha, rec = network(torch.rand(1, 2, 3, 48, 64))
        >>> fgr.shape, pha.shape
        (torch.Size([1, 2, 3, 48, 64]), torch.Size([1, 2, 1, 48, 64]))
    """

    fgr: Tensor
    pha: Tensor
    rec: Rec


class SegmentationOutput(NamedTuple):
    """The segmentation head's result.

    Attributes:
        seg: [B, T, 1, h, w] logits at the small size ([B, 1, h, w] for 4-D input).
        rec: The state after the last frame.

    Example:
        >>> import torch
        >>> from rvm_studio import core
        >>> network = core.MattingNetwork().eval()
        >>> with torch.inference_mode():
        ...     network.segment(torch.rand(1, 3, 48, 64), downsample_ratio=0.5).seg.shape
        torch.Size([1, 1, 24, 32])
    """

    seg: Tensor
    rec: Rec


def small_size(height: int, width: int, downsample_ratio: float) -> tuple[int, int]:
    """The size at which the network runs: floor(size * ratio), as in `torch.nn.functional.interpolate`.

    Args:
        height, width: Size of the frames, in pixels.
        downsample_ratio: 0 < ratio <= 1.

    Returns:
        (h, w) in pixels.

    Example:
        >>> from rvm_studio import core
        >>> core.small_size(1080, 1920, 0.25)
        (270, 480)
    """
    return math.floor(height * downsample_ratio), math.floor(width * downsample_ratio)


class MattingNetwork(nn.Module):
    """Robust Video Matting (Lin et al., arXiv 2108.11515), with random weights.

    The state-dict keys are those of the official release, so its checkpoints load strictly.

    Args:
        variant: "mobilenetv3" (3.7 M parameters) or "resnet50" (26.9 M).
        refiner: "deep_guided_filter" or "fast_guided_filter" (without parameters); used for downsample_ratio < 1.
        pretrained_backbone: Initialise the encoder with torchvision's ImageNet weights (downloads them), for training.

    Raises:
        ValueError: The variant or refiner is unknown.

    Example:
        >>> from rvm_studio import core
        >>> network = core.MattingNetwork("mobilenetv3").eval()
        >>> network.load_state_dict(core.read_weights(core.STARTER_PATH).state_dict, strict=False).unexpected_keys
        []
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
        """False if the loaded weights had no segmentation head, so that `segment` would return noise."""
        self.refiner = REFINERS[refiner]()

    def forward(
        self, src: Tensor, rec: Rec | None = None, downsample_ratio: float = 1.0, view: View | None = None
    ) -> MattingOutput:
        """Mattes T frames of B streams.

        Args:
            src: [B, T, 3, H, W], or [B, 3, H, W] for one frame of each of B streams; RGB 0..1.
            rec: The state that the previous call returned for the same size and ratio; None at the start of a stream.
            downsample_ratio: 0 < ratio <= 1. Below 1, the network runs at floor(H*ratio) x floor(W*ratio), and the
                refiner upsamples the result to the full size.
            view: How the backbone and decoder see the small picture; None: as it is.

        Returns:
            Foreground, alpha and the state after the last frame.
        """
        frames, batch = self._flatten(src, rec, downsample_ratio)
        small = self.reduce(frames, downsample_ratio)
        seen = small if view is None else view(small)
        hid, rec = self._hidden(seen, rec, batch)
        fgr, pha = self.project_mat(hid).split([3, 1], 1)
        if view is not None:
            fgr = view.residual_of_source(fgr, seen)
        if downsample_ratio != 1:
            fgr, pha = self.refiner(frames, small, fgr, pha, hid)
        fgr = (fgr + frames).clamp(0, 1)  # the network predicts the residual of the foreground
        pha = pha.clamp(0, 1)
        return MattingOutput(self._restore(fgr, src), self._restore(pha, src), rec)

    def segment(
        self, src: Tensor, rec: Rec | None = None, downsample_ratio: float = 1.0, view: View | None = None
    ) -> SegmentationOutput:
        """Like `forward`, with the segmentation head: raw logits at the small size, without the refiner."""
        frames, batch = self._flatten(src, rec, downsample_ratio)
        small = self.reduce(frames, downsample_ratio)
        hid, rec = self._hidden(small if view is None else view(small), rec, batch)
        return SegmentationOutput(self._restore(self.project_seg(hid), src), rec)

    @staticmethod
    def reduce(frames: Tensor, downsample_ratio: float) -> Tensor:
        """[N, 3, H, W] -> [N, 3, h, w]. The sampling step is exactly 1/ratio, even if H*ratio is not an integer."""
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
