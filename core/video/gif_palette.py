"""Frames for GIF: 256 colours of their own a frame, one of them transparent, so edges are hard."""

# H, W height and width; C channels (1 gray, 3 RGB, 4 RGBA)

import av
import numpy as np
from PIL import Image

TRANSPARENT = 255  # the index of the last colour
_OPAQUE_FROM = 128  # alpha


def palette_frame(image: np.ndarray) -> av.VideoFrame:
    """[H, W, C] uint8 -> a frame of pal8. Alpha of half and more is opaque. Greys are exact."""
    height, width, channels = image.shape
    colors = np.zeros((256, 4), np.uint8)  # blue, green, red, alpha
    colors[:, 3] = 255
    if channels == 1:
        indices = image[..., 0]
        colors[:, :3] = np.arange(256)[:, None]
    else:
        count = 255 if channels == 4 else 256
        picture = Image.fromarray(np.ascontiguousarray(image[..., :3]))
        # without dithering, whose pattern would flicker and cost space
        found = picture.quantize(count, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        indices = np.array(found)
        palette = np.frombuffer(bytes(found.getpalette() or ()), np.uint8).reshape(-1, 3)
        colors[: len(palette), :3] = palette[:, ::-1]
        if channels == 4:
            colors[TRANSPARENT] = 0
            indices[image[..., 3] < _OPAQUE_FROM] = TRANSPARENT
    frame = av.VideoFrame(width, height, "pal8")
    plane = frame.planes[0]
    lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # pyright: ignore[reportCallIssue, reportArgumentType]
    lines[:height, :width] = indices
    table = np.frombuffer(frame.planes[1], np.uint8)  # pyright: ignore[reportCallIssue, reportArgumentType]
    table[:1024] = colors.reshape(-1)
    return frame
