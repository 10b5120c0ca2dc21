"""The recurrent decoder (paper section 3.2): from features f1..f4 and the state rec to hidden features."""

# B batch, T frames, N = B*T, C channels, H, W; rec = (r1, r2, r3, r4) at 1/2, 1/4, 1/8, 1/16 of the size

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Rec = tuple[Tensor, Tensor, Tensor, Tensor]
"""The network's memory between frames: r1..r4, each [B, C_i, ceil(h/2^i), ceil(w/2^i)] in -1..1, h x w the small size.
"""


class ConvGRU(nn.Module):
    """Convolutional gated recurrent unit: [r, z] = sigmoid(conv([x, h])), c = tanh(conv([x, r*h])),
    h = (1-z)*h + z*c (paper section 3.2, equation 1)."""

    def __init__(self, channels: int):
        super().__init__()
        self.ih = nn.Sequential(nn.Conv2d(2 * channels, 2 * channels, 3, padding=1), nn.Sigmoid())
        self.hh = nn.Sequential(nn.Conv2d(2 * channels, channels, 3, padding=1), nn.Tanh())

    def forward(self, x: Tensor, h: Tensor | None, batch: int) -> tuple[Tensor, Tensor]:
        """x [B*T, C, H, W], h [B, C, H, W] or None for zeros -> outputs [B*T, C, H, W], last h [B, C, H, W].

        h is not modified.
        """
        steps = x.unflatten(0, (batch, -1))  # [B, T, C, H, W]
        state = torch.zeros_like(steps[:, 0]) if h is None else h
        outputs = []
        for step in steps.unbind(1):
            r, z = self.ih(torch.cat([step, state], 1)).chunk(2, 1)
            c = self.hh(torch.cat([step, r * state], 1))
            state = (1 - z) * state + z * c
            outputs.append(state)
        return torch.stack(outputs, 1).flatten(0, 1), state


def remember_half(gru: ConvGRU, x: Tensor, r: Tensor | None, batch: int) -> tuple[Tensor, Tensor]:
    """Passes the second half of x's channels through the GRU; the first half bypasses it."""
    a, b = x.chunk(2, 1)
    b, last = gru(b, r, batch)
    return torch.cat([a, b], 1), last


class BottleneckBlock(nn.Module):
    """The GRU at 1/16, on the pooled pyramid's output."""

    def __init__(self, channels: int):
        super().__init__()
        self.gru = ConvGRU(channels // 2)

    def forward(self, f4: Tensor, r4: Tensor | None, batch: int) -> tuple[Tensor, Tensor]:
        return remember_half(self.gru, f4, r4, batch)


class UpsamplingBlock(nn.Module):
    """Doubles x, concatenates the skip feature f and the pooled picture s, convolves, and applies the GRU."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels + skip_channels + 3, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )
        self.gru = ConvGRU(out_channels // 2)

    def forward(self, x: Tensor, f: Tensor, s: Tensor, r: Tensor | None, batch: int) -> tuple[Tensor, Tensor]:
        x = self.conv(torch.cat([double_to(x, s), f, s], 1))
        return remember_half(self.gru, x, r, batch)


class OutputBlock(nn.Module):
    """Doubles x to the picture's size, concatenates the picture and convolves: hidden features without memory."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels + 3, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        return self.conv(torch.cat([double_to(x, s), s], 1))


def double_to(x: Tensor, s: Tensor) -> Tensor:
    """x bilinearly doubled and cropped to the height and width of s (which may be odd).

    It is always cropped, even to its own size, because a condition on the shape would break tracing.
    """
    x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    return x[:, :, : s.shape[2], : s.shape[3]]


class RecurrentDecoder(nn.Module):
    """The whole decoder.

    feature_channels: those of (f1, f2, f3, pooled f4). decoder_channels: those of (decode3, decode2, decode1, decode0).
    """

    def __init__(self, feature_channels: tuple[int, int, int, int], decoder_channels: tuple[int, int, int, int]):
        super().__init__()
        f1, f2, f3, f4 = feature_channels
        d3, d2, d1, d0 = decoder_channels
        # Ceil mode keeps the last row or column of an odd size; padding is not averaged.
        self.pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
        self.decode4 = BottleneckBlock(f4)
        self.decode3 = UpsamplingBlock(f4, f3, d3)
        self.decode2 = UpsamplingBlock(d3, f2, d2)
        self.decode1 = UpsamplingBlock(d2, f1, d1)
        self.decode0 = OutputBlock(d1, d0)

    def forward(
        self, src: Tensor, features: tuple[Tensor, Tensor, Tensor, Tensor], rec: Rec | None, batch: int
    ) -> tuple[Tensor, Rec]:
        """src [B*T, 3, H, W] and its features (f4 pooled) -> hid [B*T, 16, H, W], rec after the last frame."""
        f1, f2, f3, f4 = features
        r1, r2, r3, r4 = rec if rec is not None else (None,) * 4
        s1 = self.pool(src)
        s2 = self.pool(s1)
        s3 = self.pool(s2)
        x, r4 = self.decode4(f4, r4, batch)
        x, r3 = self.decode3(x, f3, s3, r3, batch)
        x, r2 = self.decode2(x, f2, s2, r2, batch)
        x, r1 = self.decode1(x, f1, s1, r1, batch)
        return self.decode0(x, src), (r1, r2, r3, r4)


class Projection(nn.Module):
    """hid [N, 16, H, W] -> [N, out_channels, H, W]: the matting or the segmentation head."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, hid: Tensor) -> Tensor:
        return self.conv(hid)
