"""Encoders: from a picture to features at 1/2, 1/4, 1/8 and 1/16 of its size.

Both are torchvision's classification networks without their heads. Their last stage is dilated instead of strided
(paper section 3.1), so the smallest grid is 1/16.
"""

# N = B*T frames, C channels, H, W

import torch
from torch import Tensor, nn

from .torchvision_import import models

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class MobileNetV3Encoder(nn.Module):
    """MobileNetV3-Large: src [N, 3, H, W] in 0..1 -> f1..f4 with 16, 24, 40, 960 channels.

    It normalises with the ImageNet mean and deviation. `pretrained` downloads torchvision's ImageNet weights.
    """

    channels = (16, 24, 40, 960)
    mean: Tensor
    std: Tensor

    def __init__(self, pretrained: bool = False):
        super().__init__()
        weights = models.MobileNet_V3_Large_Weights.IMAGENET1K_V1 if pretrained else None
        self.features = models.mobilenet_v3_large(weights=weights, dilated=True).features
        # Not persistent: the official state dict has no such keys.
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, src: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.features_of((src - self.mean) / self.std)

    def features_of(self, normalised: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """f1..f4 of a normalised picture."""
        f1 = self.features[:2](normalised)
        f2 = self.features[2:4](f1)
        f3 = self.features[4:7](f2)
        f4 = self.features[7:](f3)
        return f1, f2, f3, f4


class ResNet50Encoder(nn.Module):
    """ResNet50: src [N, 3, H, W] in 0..1 -> f1..f4 with 64, 256, 512, 2048 channels.

    It does not normalise, because the official weights were trained without normalisation. `pretrained` downloads
    torchvision's ImageNet weights.
    """

    channels = (64, 256, 512, 2048)

    def __init__(self, pretrained: bool = False):
        super().__init__()
        weights = models.ResNet50_Weights.IMAGENET1K_V1 if pretrained else None
        resnet = models.resnet50(weights=weights, replace_stride_with_dilation=[False, False, True])
        self.conv1, self.bn1, self.relu, self.maxpool = resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool
        self.layer1, self.layer2 = resnet.layer1, resnet.layer2
        self.layer3, self.layer4 = resnet.layer3, resnet.layer4

    def forward(self, src: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        f1 = self.relu(self.bn1(self.conv1(src)))
        f2 = self.layer1(self.maxpool(f1))
        f3 = self.layer2(f2)
        f4 = self.layer4(self.layer3(f3))
        return f1, f2, f3, f4
