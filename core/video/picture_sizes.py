"""The picture sizes in a stream, read from the headers of its packets: recordings of calls change it as they go."""

from collections.abc import Iterator

import av
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

_AVC_PARAMETERS, _HEVC_PARAMETERS, _AV1_SEQUENCE = 7, 33, 1
_HEADERS = 4096  # bytes of a packet in which its parameter sets lie
_VP9_KEY_MARK = 0x498342


class PictureSizes:
    """Finds the size of every packet that declares one, without decoding pictures.

    Args:
        codec: libav's name of the codec.
        extradata: The stream's global headers.
        decoder: libav's name of the decoder, if it is another.
    """

    def __init__(self, codec: str, extradata: bytes | None, decoder: str = "") -> None:
        self._decoder = decoder or codec
        self._codec, self._extradata = codec, extradata or b""
        self._parameters: bytes | None = None
        self.knows_codec = codec in ("vp8", "vp9", "h264", "hevc", "av1")

    def of(self, packet: av.Packet) -> tuple[int, int] | None:
        """(height, width) if the packet declares a size that is not known yet from the packet before it."""
        data = bytes(memoryview(packet)[:_HEADERS])
        if self._codec == "vp8":
            return _vp8_size(data)
        if self._codec == "vp9":
            return _vp9_size(data)
        if not packet.is_keyframe:
            return None
        parameters = b"".join(self._parameter_sets(data))
        if not parameters or parameters == self._parameters:
            return None
        self._parameters = parameters
        return self._decoded_size(packet)

    def _decoded_size(self, packet: av.Packet) -> tuple[int, int] | None:
        context = av.CodecContext.create(self._decoder, "r")
        assert isinstance(context, VideoCodecContext)
        if self._extradata:
            context.extradata = self._extradata
        try:
            for frame in [*context.decode(packet), *context.decode(None)]:
                return frame.height, frame.width
        except FFmpegError:
            pass
        return None

    def _parameter_sets(self, data: bytes) -> Iterator[bytes]:
        if self._codec == "av1":
            yield from _av1_sequences(data)
            return
        units = _units_with_lengths(data, self._length_size()) if self._extradata[:1] == b"\1" else _units(data)
        for unit in units:
            kind = unit[0] & 31 if self._codec == "h264" else unit[0] >> 1 & 63
            if kind == (_AVC_PARAMETERS if self._codec == "h264" else _HEVC_PARAMETERS):
                yield unit

    def _length_size(self) -> int:
        place = 4 if self._codec == "h264" else 21  # in avcC and hvcC
        return (self._extradata[place] & 3) + 1 if len(self._extradata) > place else 4


def _units(data: bytes) -> Iterator[bytes]:
    """The units between start codes (ITU-T H.264, annex B)."""
    parts = data.split(b"\0\0\1")
    yield from (part.rstrip(b"\0") for part in parts[1:] if part.rstrip(b"\0"))


def _units_with_lengths(data: bytes, size: int) -> Iterator[bytes]:
    place = 0
    while place + size < len(data):
        length = int.from_bytes(data[place : place + size], "big")
        unit = data[place + size : place + size + length]
        if unit:
            yield unit
        place += size + length


def _av1_sequences(data: bytes) -> Iterator[bytes]:
    """Sequence headers of AV1 (section 5.3)."""
    place = 0
    while place + 2 <= len(data):
        header, length, shift = data[place], 0, 0
        place += 2 if header & 4 else 1
        if header & 2:  # has a size, in groups of 7 bits
            while place < len(data):
                byte = data[place]
                place += 1
                length |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
        else:
            length = len(data) - place
        if header >> 3 & 15 == _AV1_SEQUENCE:
            yield data[place : place + length]
        place += length


def _vp8_size(data: bytes) -> tuple[int, int] | None:
    """From the header of a key frame (RFC 6386, section 9.1)."""
    if len(data) < 10 or data[0] & 1 or data[3:6] != b"\x9d\1\x2a":
        return None
    width, height = (int.from_bytes(data[place : place + 2], "little") & 0x3FFF for place in (6, 8))
    return height, width


def _vp9_size(data: bytes) -> tuple[int, int] | None:
    """From the uncompressed header of a frame that does not take its size from another (VP9, section 6.2)."""
    if len(data) < 18:
        return None
    bits = _Bits(data)
    if bits.take(2) != 2:
        return None
    profile = bits.take(1) + 2 * bits.take(1)
    if profile == 3:
        bits.take(1)
    if bits.take(1):  # shows a frame that exists
        return None
    is_inter, shown, resilient = bits.take(1), bits.take(1), bits.take(1)
    if not is_inter:
        if bits.take(24) != _VP9_KEY_MARK:
            return None
        _skip_color(bits, profile)
        return _explicit_size(bits)
    intra_only = 0 if shown else bits.take(1)
    if not resilient:
        bits.take(2)
    if intra_only:
        if bits.take(24) != _VP9_KEY_MARK:
            return None
        if profile > 0:
            _skip_color(bits, profile)
        bits.take(8)
        return _explicit_size(bits)
    bits.take(8)
    bits.take(12)
    return None if any(bits.take(1) for _ in range(3)) else _explicit_size(bits)


def _explicit_size(bits: "_Bits") -> tuple[int, int]:
    width, height = bits.take(16) + 1, bits.take(16) + 1
    return height, width


def _skip_color(bits: "_Bits", profile: int) -> None:
    if profile >= 2:
        bits.take(1)
    if bits.take(3) != 7:
        bits.take(1)
        if profile in (1, 3):
            bits.take(3)
    elif profile in (1, 3):
        bits.take(1)


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data[:32], "big"), 8 * min(32, len(data))

    def take(self, count: int) -> int:
        self._left -= count
        return self._value >> max(0, self._left) & ((1 << count) - 1)
