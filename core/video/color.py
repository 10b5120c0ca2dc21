"""YUV <-> RGB, exactly: the only place where pixels change colour model.

All conversions run through libavfilter's scale filter with an explicit matrix and range, because PyAV's own `reformat`
ignores the tags of a frame in some versions. This file works around the following, measured with PyAV 14.2 and 18.1
(1080p, 2 cores):

- `accurate_rnd` with full chroma interpolation rounds without bias (error 0.51 of an 8-bit step). Converting directly
  to rgb24 takes 24 ms a frame; through planar gbrp it takes 4 ms with bit-identical results. So every conversion goes
  through gbrp or gbrp16.
- With 16 bits, swscale uses 255 * 256 = 65280 (or the shifted maximum of a full-range source) as white. A table filter
  (`lutrgb`) stretches that to 65535; conversions to YUV apply the inverse.
- swscale changes 8-bit alpha by up to 1, so numpy rounds alpha and writes it directly into its plane.
- swscale assumes centred chroma where a frame does not specify it; in video it is on the left, which is set here.
"""

# H, W height and width; C channels (1 gray, 3 RGB, 4 RGBA)

import functools
from dataclasses import dataclass

import av
import av.filter
import numpy as np

from ..errors import StudioError
from .gif_palette import palette_frame

# codes of ITU-T H.273, which libav uses
UNSPECIFIED = 2
MATRIX_RGB, MATRIX_BT709, MATRIX_BT601_625, MATRIX_BT601_525 = 0, 1, 5, 6
RANGE_LIMITED, RANGE_FULL = 1, 2
PRIMARIES_BT709 = 1
TRANSFER_SRGB = 13

# H.273 matrix code -> name in the scale filter. 10 is BT.2020 with constant luminance: the same numbers.
_MATRIX_NAMES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_RANGE_NAMES = {RANGE_LIMITED: "tv", RANGE_FULL: "pc"}
# matrix -> (primaries, transfer) of the standard that defines it, for tags that a file leaves unspecified
_COMPANIONS = {1: (1, 1), 4: (4, 4), 5: (5, 6), 6: (6, 6), 7: (7, 7), 9: (9, 14), 10: (9, 14)}
_EXACT = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
_PIXELS_READ_AT_ONCE = 16  # by swscale, at most, in rgba; it would read past the end of an array of another width
_WHITE_OF_16_BITS = 65280  # what swscale uses as white between 8-bit-based YUV and 16-bit RGB


@dataclass(frozen=True)
class ColorTags:
    """How the samples of a picture encode colour: ITU-T H.273 codes, resolved, so never "unspecified" (2).

    Example:
        >>> from rvm_studio import core
        >>> bt709 = core.ColorTags(matrix=1, range=1, primaries=1, transfer=1)  # range: 1 limited, 2 full
    """

    matrix: int
    range: int
    primaries: int
    transfer: int


def is_rgb(format: av.VideoFormat) -> bool:
    """Whether the samples are red, green and blue (or a palette of these)."""
    return format.is_rgb or format.has_palette


def is_gray(format: av.VideoFormat) -> bool:
    """Whether the format has luma only, with or without alpha."""
    return not is_rgb(format) and sum(not component.is_alpha for component in format.components) == 1


def resolve_tags(frame: av.VideoFrame, height: int) -> ColorTags:
    """The colour tags of a decoded frame, with defaults for those that the file leaves unspecified.

    RGB gets matrix 0 and full range; yuvj gets full range, and so does gray without a tag, as in libav.
    Otherwise the range is limited, and the matrix BT.709 for heights above 576, else BT.601. PyAV below 17 exposes
    neither primaries nor transfer of a frame; there they follow from the matrix.

    Args:
        frame: The decoded frame.
        height: Height of the stored picture (before any rotation), in pixels.

    Returns:
        Tags without unspecified codes.

    Example:
        >>> import av
        >>> from rvm_studio import core
        >>> with av.open("clip.mp4") as container:
        ...     frame = next(container.decode(video=0))
        >>> tags = core.resolve_tags(frame, frame.height)
        >>> images = core.ToRGB()(frame, tags)  # [H, W, 3] uint8
    """
    format, name = frame.format, frame.format.name
    matrix, range_ = int(frame.colorspace), int(frame.color_range)
    primaries = int(getattr(frame, "color_primaries", None) or UNSPECIFIED)
    transfer = int(getattr(frame, "color_trc", None) or UNSPECIFIED)
    if is_rgb(format):
        matrix, range_, companions = MATRIX_RGB, RANGE_FULL, (PRIMARIES_BT709, TRANSFER_SRGB)
    else:
        jpeg = name.startswith("yuvj")
        if matrix in (MATRIX_RGB, UNSPECIFIED, 3):  # 0 is invalid for YUV, 3 is reserved
            if jpeg:
                matrix = MATRIX_BT601_625
            elif height > 576:
                matrix = MATRIX_BT709
            else:
                matrix = MATRIX_BT601_625 if height == 576 else MATRIX_BT601_525
        if jpeg or (range_ not in _RANGE_NAMES and is_gray(format)):
            range_ = RANGE_FULL
        elif range_ not in _RANGE_NAMES:
            range_ = RANGE_LIMITED
        companions = _COMPANIONS.get(matrix, (PRIMARIES_BT709, PRIMARIES_BT709))
    return ColorTags(
        matrix,
        range_,
        companions[0] if primaries in (0, UNSPECIFIED, 3) else primaries,
        companions[1] if transfer in (0, UNSPECIFIED, 3) else transfer,
    )


def _matrix_name(matrix: int) -> str:
    if matrix not in _MATRIX_NAMES:
        raise StudioError(
            f"The video's colour matrix (H.273 code {matrix}) is not supported. Expected BT.601, BT.709, BT.2020 or "
            "RGB: convert the video to BT.709 first."
        )
    return _MATRIX_NAMES[matrix]


def _stretch(numerator: int, denominator: int, black: int = 0) -> tuple[str, str]:
    """The table filter that scales packed RGB samples above `black` and rounds (with gbrp16 it would clip to 65280)."""
    rule = f"'clip(floor((val-{black})*{numerator}/{denominator}+0.5),0,maxval)'"
    return "lutrgb", f"r={rule}:g={rule}:b={rule}"


def _build_graph(frame: av.VideoFrame, filters: list[tuple[str, str]]) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000:pixel_aspect=1/1"
    nodes = [graph.add("buffer", source)]
    nodes += [graph.add(name, arguments) for name, arguments in filters]
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes)
    graph.configure()
    return graph


def _through(graph: av.filter.Graph, frame: av.VideoFrame) -> av.VideoFrame:
    graph.push(frame)
    result = graph.pull()
    assert isinstance(result, av.VideoFrame)
    return result


class ToRGB:
    """Converts decoded frames to upright RGB arrays. Keeps its filter graph until size, format, tags or rotation
    change.

    Example:
        >>> import av
        >>> from rvm_studio import core
        >>> to_rgb = core.ToRGB()
        >>> with av.open("clip.mp4") as container:
        ...     for frame in container.decode(video=0):
        ...         image = to_rgb(frame, core.resolve_tags(frame, frame.height))  # [H, W, 3] uint8
    """

    def __init__(self) -> None:
        self._key: tuple | None = None
        self._graph: av.filter.Graph | None = None

    def __call__(
        self,
        frame: av.VideoFrame,
        tags: ColorTags,
        rotation: int = 0,
        bit_depth: int = 8,
        mirrored: bool = False,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Converts one frame; alpha is dropped.

        Args:
            frame: The decoded frame.
            tags: Its colour tags, as from `resolve_tags`.
            rotation: Clockwise rotation that makes the picture upright: 0, 90, 180 or 270 degrees.
            bit_depth: Above 8, the result has 16 bits.
            mirrored: Whether to flip left and right before the rotation.
            size: (height, width) to scale the stored picture to, before the rotation; None: no scaling.

        Returns:
            Contiguous [H, W, 3] full-range RGB: uint8, or uint16 with white at 65535 if `bit_depth` > 8.

        Raises:
            StudioError: The colour matrix is not supported.
        """
        if bit_depth > 8 and is_rgb(frame.format) and max(part.bits for part in frame.format.components) == 8:
            # swscale would widen white to 65283
            return widened(self(frame, tags, rotation, 8, mirrored, size))
        key = (frame.width, frame.height, frame.format.name, tags, rotation, bit_depth > 8, mirrored, size)
        if self._graph is None or key != self._key:
            self._graph = _build_graph(frame, _rgb_filters(frame.format, tags, rotation, bit_depth, mirrored, size))
            self._key = key
        rgb = _through(self._graph, frame)
        dtype = np.dtype("<u2") if bit_depth > 8 else np.dtype(np.uint8)
        # without line padding this is a view and costs nothing; the array keeps libav's buffer alive
        return np.ascontiguousarray(_plane_view(rgb, 0, dtype, 3)).reshape(rgb.height, rgb.width, 3)


def widened(image: np.ndarray) -> np.ndarray:
    """uint8 or uint16 samples as uint16; white becomes white."""
    return _rescale(image, 16)


def alpha_of(frame: av.VideoFrame) -> np.ndarray | None:
    """A frame's alpha [H, W], a view of uint8 or uint16 in the format's own depth; None if it has none."""
    format = frame.format
    for component in format.components:
        if component.is_alpha:
            wide = max(part.bits for part in format.components) > 8
            dtype = np.dtype((">" if format.is_big_endian else "<") + "u2") if wide else np.dtype(np.uint8)
            inside = [part for part in format.components if part.plane == component.plane]
            place = 0 if format.name in ("argb", "abgr") else len(inside) - 1
            return _plane_view(frame, component.plane, dtype, len(inside))[:, place :: len(inside)]
    return None


def _rgb_filters(
    format: av.VideoFormat,
    tags: ColorTags,
    rotation: int,
    bit_depth: int,
    mirrored: bool,
    size: tuple[int, int] | None,
) -> list[tuple[str, str]]:
    assert rotation in (0, 90, 180, 270), rotation
    deep, rgb_coded = bit_depth > 8, is_rgb(format)
    limited_gray = is_gray(format) and tags.range == RANGE_LIMITED
    options = [_EXACT, "out_range=pc", f"in_range={'pc' if limited_gray else _RANGE_NAMES[tags.range]}"]
    if size is not None:
        options.append(f"w={size[1]}:h={size[0]}")
    if not rgb_coded and not is_gray(format):
        options.append(f"in_color_matrix={_matrix_name(tags.matrix)}")
        if format.chroma_width(64) < 64 and not format.name.startswith("yuvj"):
            options.append("in_h_chr_pos=0")
    # RGB above 8 bits is converted directly, which is exact, whereas FFmpeg 8 breaks gbrap16 -> gbrp16. So are
    # palettes: FFmpeg 7 converts them to gbrp through YUV.
    packed = "rgb48le" if deep else "rgb24"
    planar = "gbrp16le" if deep else "gbrp"
    straight = format.has_palette or (deep and rgb_coded)
    filters = [("scale", ":".join(options)), ("format", f"pix_fmts={packed if straight else planar}")]
    if mirrored:
        filters.append(("hflip", ""))
    # two quarter turns instead of vflip, which would leave a frame with its lines stored backwards
    filters += [("transpose", "cclock")] if rotation == 270 else [("transpose", "clock")] * (rotation // 90)
    filters += [("scale", ""), ("format", f"pix_fmts={packed}")]
    if limited_gray:  # libav ignores the range of gray
        black, white = (16 << 8, 235 << 8) if deep else (16, 235)
        filters.append(_stretch(65535 if deep else 255, white - black, black))
    elif deep and not rgb_coded:
        white = _WHITE_OF_16_BITS
        if tags.range == RANGE_FULL:
            white = 65536 - 2 ** (16 - min(16, max(component.bits for component in format.components)))
        if white < 65535:
            filters.append(_stretch(65535, white))
    return filters


class FromRGB:
    """Converts RGB arrays to frames of one pixel format, in the matrix and range of `tags`, and tags them.

    pix_fmt: integer gray, planar yuv, yuva, gbr(a), or packed RGB(A) of 8 or 16 bits,
    or pal8 (see gif_palette.py). RGB formats get matrix 0 and full
    range, gray gets full range, regardless of `tags` (`self.tags` holds the tags in use). pad_to_even: repeat the last
    column and row of odd sizes. PyAV below 17 cannot set primaries and transfer of a frame: set them on the encoder.
    Error compared with exact arithmetic, in steps of 1/255, without chroma subsampling: RGB, gray and alpha 0.5 of a
    step of their own depth; limited-range YUV 1 with 8 bits, 0.4 with 10, 0.1 with 16; full-range YUV up to 2 (FFmpeg 8
    rounds its chroma down), so limited range is the better choice.
    """

    def __init__(self, pix_fmt: str, tags: ColorTags, pad_to_even: bool = False) -> None:
        self._format = av.VideoFormat(pix_fmt)
        self._bits = max(component.bits for component in self._format.components)
        matrix = MATRIX_RGB if is_rgb(self._format) else tags.matrix
        range_ = RANGE_FULL if is_rgb(self._format) or is_gray(self._format) else tags.range
        self.tags = ColorTags(matrix, range_, tags.primaries, tags.transfer)
        self._pad = pad_to_even
        self._key: tuple | None = None
        self._graph: av.filter.Graph | None = None

    def __call__(self, image: np.ndarray) -> av.VideoFrame:
        """`image` [H, W, C] uint8 or uint16 (white is 65535), full range, C = 1 gray, 3 RGB, 4 RGBA -> a new frame.

        Where only the format has alpha, the frame is opaque; where only the image has alpha, it is dropped. A gray
        format takes C = 1 only. The frame has no pts. It may be a view of `image`, which must then not change.
        """
        height, width, channels = image.shape
        assert channels in (1, 3, 4), image.shape
        assert image.dtype in (np.uint8, np.uint16), image.dtype
        if self._pad and (height % 2 or width % 2):
            image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._format.has_palette:
            frame = palette_frame(_rescale(image, 8))
        elif is_gray(self._format):
            frame = self._gray_frame(image)
        elif not is_rgb(self._format):
            frame = self._luma_frame(image) if channels == 1 else self._yuv_frame(image)
        elif self._format.is_planar:
            frame = self._planar_rgb_frame(image)
        else:
            frame = self._packed_rgb_frame(image)
        frame.colorspace, frame.color_range = self.tags.matrix, self.tags.range
        if hasattr(frame, "color_primaries"):
            frame.color_primaries, frame.color_trc = self.tags.primaries, self.tags.transfer
        return frame

    def _new_frame(self, image: np.ndarray) -> av.VideoFrame:
        return av.VideoFrame(image.shape[1], image.shape[0], self._format.name)

    def _write(self, frame: av.VideoFrame, index: int, samples: np.ndarray | int) -> None:
        """Writes samples of the format's own depth into one plane."""
        byte_order = ">" if self._format.is_big_endian else "<"
        _plane_view(frame, index, np.dtype(np.uint8) if self._bits == 8 else np.dtype(byte_order + "u2"))[:] = samples

    def _write_alpha(self, frame: av.VideoFrame, image: np.ndarray) -> None:
        for component in self._format.components:
            if component.is_alpha:
                opaque = 2**self._bits - 1
                alpha = _rescale(image[..., 3], self._bits) if image.shape[2] == 4 else opaque
                self._write(frame, component.plane, alpha)

    def _gray_frame(self, image: np.ndarray) -> av.VideoFrame:
        assert (image.shape[2], len(self._format.components)) == (1, 1), (image.shape, self._format.name)
        frame = self._new_frame(image)
        self._write(frame, 0, _rescale(image[..., 0], self._bits))
        return frame

    def _luma_frame(self, image: np.ndarray) -> av.VideoFrame:
        """Gray in a YUV format: luma from an exactly rounded table, and neutral chroma."""
        luma, *others = self._format.components
        assert len({component.plane for component in others}) == len(others), f"{self._format.name} is not planar"
        step = 2 ** (self._bits - 8)
        black, white = (16 * step, 235 * step) if self.tags.range == RANGE_LIMITED else (0, 2**self._bits - 1)
        frame = self._new_frame(image)
        self._write(frame, luma.plane, _table(np.iinfo(image.dtype).max, black, white)[image[..., 0]])
        for component in others:
            if not component.is_alpha:
                self._write(frame, component.plane, 128 * step)
        self._write_alpha(frame, image)
        return frame

    def _yuv_frame(self, image: np.ndarray) -> av.VideoFrame:
        if self._bits == 8:
            image = _rescale(image, 8)  # swscale would dither, by up to 3/255
        filters = []
        if image.dtype == np.uint16:
            filters = [_stretch(_WHITE_OF_16_BITS, 65535), ("scale", ""), ("format", "pix_fmts=gbrp16le")]
        options = [
            _EXACT,
            f"out_color_matrix={_matrix_name(self.tags.matrix)}",
            f"out_range={_RANGE_NAMES[self.tags.range]}",
        ]
        if self._format.chroma_width(64) < 64 and not self._format.name.startswith("yuvj"):
            options.append("out_h_chr_pos=0")
        filters += [("scale", ":".join(options)), ("format", f"pix_fmts={self._format.name}")]
        frame = self._filtered(image, filters)
        self._write_alpha(frame, image)
        return frame

    def _planar_rgb_frame(self, image: np.ndarray) -> av.VideoFrame:
        frame = self._new_frame(image)
        for channel, component in enumerate(self._format.components[:3]):
            self._write(frame, component.plane, _rescale(image[..., channel % image.shape[2]], self._bits))
        self._write_alpha(frame, image)
        return frame

    def _packed_rgb_frame(self, image: np.ndarray) -> av.VideoFrame:
        assert self._bits in (8, 16), self._format.name
        image = _rescale(image, self._bits)
        if image.shape[2] == 1:
            image = np.repeat(image, 3, axis=2)
        return self._filtered(image, [("scale", ""), ("format", f"pix_fmts={self._format.name}")])

    def _filtered(self, image: np.ndarray, filters: list[tuple[str, str]]) -> av.VideoFrame:
        height, width, channels = image.shape
        deep = image.dtype == np.uint16
        name = {(3, False): "rgb24", (4, False): "rgba", (3, True): "rgb48le", (4, True): "rgba64le"}[channels, deep]
        if name == "rgba" and width % _PIXELS_READ_AT_ONCE == 0 and image.flags.c_contiguous:
            source = av.VideoFrame.from_numpy_buffer(image, format=name)
        else:
            source = av.VideoFrame(width, height, name)
            samples = _plane_view(source, 0, np.dtype("<u2") if deep else np.dtype(np.uint8), channels)
            samples[:] = image.reshape(height, -1)
        if self._graph is None or self._key != (*image.shape, deep):
            self._graph, self._key = _build_graph(source, filters), (*image.shape, deep)
        frame = _through(self._graph, source)
        frame.pts = None
        return frame


def _plane_view(frame: av.VideoFrame, index: int, dtype: np.dtype, channels: int = 1) -> np.ndarray:
    """The samples of one plane, [H, W * channels], without line padding; a view, so writing changes the frame."""
    plane = frame.planes[index]
    samples = np.frombuffer(plane, dtype)  # pyright: ignore[reportCallIssue, reportArgumentType]
    lines = samples.reshape(-1, plane.line_size // dtype.itemsize)
    return lines[: plane.height, : plane.width * channels]


def _rescale(samples: np.ndarray, bits: int) -> np.ndarray:
    """Full-range uint8 or uint16 samples -> `bits` bits, rounded to nearest; black and white stay black and white."""
    source, target = np.iinfo(samples.dtype).max, 2**bits - 1
    return samples if source == target else _table(source, 0, target)[samples]


@functools.lru_cache(maxsize=16)
def _table(source: int, black: int, white: int) -> np.ndarray:
    """A table that maps 0..`source` to black..white, rounded to nearest: uint8 where sufficient, else uint16."""
    table = np.rint(black + np.arange(source + 1) * ((white - black) / source))
    return table.astype(np.uint8 if white < 256 else np.uint16)
