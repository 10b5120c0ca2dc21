"""Lite reduced atrous spatial pyramid pooling (Howard et al., "Searching for MobileNetV3", section 6.4)."""

# N = B*T frames, C channels, H, W

from torch import Tensor, nn


class LRASPP(nn.Module):
    """f4 [N, in_channels, H/16, W/16] -> [N, out_channels, H/16, W/16]: features, gated by their global average."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.aspp1 = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )
        self.aspp2 = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, f4: Tensor) -> Tensor:
        return self.aspp1(f4) * self.aspp2(f4)
