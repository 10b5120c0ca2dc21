"""The filter's side of the frame protocol in Python, for tests and benchmarks without OBS: what rvm_filter.lua does."""

import rvm_frame_protocol as protocol


class FilterSide:
    """Claims a slot, writes pictures and settings, reads mattes."""

    def __init__(self, slot, instance=1, name="camera"):
        if slot.control.instance:
            raise protocol.ProtocolError(f"Slot {slot.index} belongs to instance {slot.control.instance} already.")
        self.slot, self.control = slot, slot.control
        self.seen = 0
        for field in ("picture_count", "matte_count", "taken", "work_ns", "rate_milli"):
            setattr(self.control, field, 0)
        self.control.name = name.encode()
        protocol.fence()
        self.control.instance = instance

    def release(self):
        self.control.instance = 0

    def write_settings(self, **settings):
        protocol.write_json(self.control, "settings", settings)

    def write_picture(self, number, width, height, pixels, linesize=None, epoch=1, time_ns=None):
        """pixels: RGBA bytes of height rows of `linesize` bytes."""
        count = self.control.picture_count + 1
        header = self.slot.picture_headers[count % protocol.BUFFERS]
        with protocol.Writing(header, count, self.control.instance):
            header.number, header.epoch = number, epoch
            header.time_ns = number * 33_333_333 if time_ns is None else time_ns
            header.width, header.height, header.linesize = width, height, linesize or 4 * width
            self.slot.pictures[count % protocol.BUFFERS][: len(pixels)] = pixels
        self.control.picture_count = count

    def read_mattes(self):
        """The mattes since the last call that are still there whole, in order."""
        newest, mattes = self.control.matte_count, []
        for count in range(max(self.seen + 1, newest - protocol.BUFFERS + 1), newest + 1):
            header = self.slot.matte_headers[count % protocol.BUFFERS]
            protocol.fence()
            matte = Matte(header, self.slot.mattes[count % protocol.BUFFERS])
            protocol.fence()
            if header.sequence == 2 * count and matte.instance == self.control.instance:
                mattes.append(matte)
        self.seen = newest
        return mattes


class Matte:
    def __init__(self, header, payload):
        copy = type(header).from_buffer_copy(header)
        self.instance, self.number, self.time_ns = copy.instance, copy.number, copy.time_ns
        self.width, self.height = copy.width, copy.height
        self.correction_size = copy.correction_width, copy.correction_height
        self.alpha = bytes(payload[: self.width * self.height])
        start = protocol.CORRECTION_OFFSET
        self.correction = bytes(payload[start : start + 4 * self.correction_size[0] * self.correction_size[1]])
