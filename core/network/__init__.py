"""The recurrent matting network (Lin et al., "Robust High-Resolution Video Matting with Temporal Guidance",
arXiv 2108.11515), one kind of module per file. Layers that work on single frames take [N, C, H, W] with N = B*T;
only the GRU works over time."""

from .matting_network import MattingNetwork, MattingOutput, Rec, SegmentationOutput, small_size

__all__ = ["MattingNetwork", "MattingOutput", "Rec", "SegmentationOutput", "small_size"]
