"""Small ICC profiles for tests, written after ICC.1:2022."""

import struct

import numpy as np

ADOBE = (((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)), 563 / 256)
P3 = (((0.68, 0.32), (0.265, 0.69), (0.15, 0.06)), 2.2)


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def xyz(x: float, y: float) -> np.ndarray:
    return np.array([x / y, 1, (1 - x - y) / y])


def primaries_under_d50(primaries) -> np.ndarray:
    """[3, 3]: the columns XYZ of red, green and blue of a D65 space, adapted by Bradford."""
    columns = np.stack([xyz(*place) for place in primaries], 1)
    columns = columns * np.linalg.solve(columns, xyz(0.3127, 0.3290))
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    gain = (cone @ [0.9642, 1, 0.8249]) / (cone @ xyz(0.3127, 0.3290))
    return np.linalg.inv(cone) @ np.diag(gain) @ cone @ columns


def curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def profile(kind: str, elements: dict[str, bytes], name: str) -> bytes:
    """kind: "RGB " or "GRAY"."""
    text = name.encode() + b"\0"
    desc = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(8 + 3 + 67)
    elements = {"desc": desc, "wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1, 0.8249), **elements}
    table, data, place = b"", b"", 128 + 4 + 12 * len(elements)
    for key, value in elements.items():
        value += bytes(-len(value) % 4)
        table += struct.pack(">4sII", key.encode(), place + len(data), len(value))
        data += value
    body = struct.pack(">I", len(elements)) + table + data
    head = struct.pack(">I4sI4s4s4s", 128 + len(body), bytes(4), 0x02400000, b"mntr", kind.encode(), b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249) + bytes(48)
    assert len(head) == 128
    return head + body


def rgb_profile(space=ADOBE, name="Wide") -> bytes:
    primaries, gamma = space
    elements = {
        f"{channel}XYZ": b"XYZ " + bytes(4) + fixed(*column)
        for channel, column in zip("rgb", primaries_under_d50(primaries).T, strict=True)
    }
    elements |= {f"{channel}TRC": curve(gamma) for channel in "rgb"}
    return profile("RGB ", elements, name)


def gray_profile(gamma: float) -> bytes:
    return profile("GRAY", {"kTRC": curve(gamma)}, "Grey")


def in_srgb(color, space=ADOBE) -> np.ndarray:
    """[..., 3] 0..1 in a space -> the same in sRGB, clipped, by the definitions alone."""
    primaries, gamma = space

    def matrix(places):
        columns = np.stack([xyz(*place) for place in places], 1)
        return columns * np.linalg.solve(columns, xyz(0.3127, 0.3290))

    light = np.asarray(color, float) ** gamma
    out = light @ matrix(primaries).T @ np.linalg.inv(matrix(((0.64, 0.33), (0.3, 0.6), (0.15, 0.06)))).T
    return np.vectorize(lambda v: 12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055)(out.clip(0, 1))
