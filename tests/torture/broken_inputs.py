"""What must end in one sentence, in a note, or in the readable part; and names that are unusual but right."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from .drawing import draw, drawn, encode, ffmpeg
from .inputs import Input
from .still_inputs import by_pillow

_X264 = "-c:v libx264 -preset veryfast -crf 8"


def inputs() -> list[Input]:
    return [*_names(), *_wrong(), *_damaged()]


def _names() -> list[Input]:
    names = [
        ("with space.mp4", "a space"),
        ("ünïcödé 人物 🎬.mp4", "letters of other scripts, an emoji"),
        ("50%done.mp4", "a percent sign"),
        ("100%05d.mp4", "a percent sign as in a pattern"),
        ("-dash.mp4", "a leading dash"),
        ("[1080p] clip*?.mp4", "brackets, a star and a question mark"),
        ("a:b.mp4", "a colon"),
        ("quo'te\".mp4", "quotes"),
        ("UPPER.MP4", "upper case"),
        ("no_suffix", "no suffix"),
        ("many.dots.in.it.mp4", "several dots"),
        (".hidden.mp4", "a leading dot"),
        ("x" * 240 + ".mp4", "244 characters"),
        ("new\nline.mp4", "a line break"),
    ]

    def maker(name: str) -> Callable[[Path], Path]:
        def make(folder: Path) -> Path:
            plain = encode(folder.parent / "plain.mp4", _X264, frames=drawn(3))
            (folder / name).write_bytes(plain.read_bytes())
            return folder / name

        return make

    plain = lambda path: list(drawn(3))  # noqa: E731  ffmpeg reads some of these names as patterns
    found = [
        Input(f"name: {what}", "names", what, maker(name), frames=3, reference=plain, difference=6)
        for name, what in names
    ]  # fmt: skip

    def suffix(name: str, about: str, save: Callable[[Path], None], **expect) -> Input:
        def make(folder: Path) -> Path:
            save(folder / name)
            return folder / name

        return Input(f"name: {name}", "names", about, make, **expect)

    still = {"frames": 1, "reference": by_pillow, "difference": 0.6, "out": "cut.png"}
    image = Image.fromarray(draw(3))
    clip = {"frames": 3, "drawn": lambda: drawn(3)}

    def mkv_as_mp4(path: Path) -> None:
        plain = encode(path.parent.parent / "plain.mkv", _X264, frames=drawn(3))
        path.write_bytes(plain.read_bytes())

    found += [
        suffix("png.jpg", "a PNG named .jpg", lambda path: image.save(path, format="PNG"), **still),
        suffix("jpeg.png", "a JPEG named .png", lambda path: image.save(path, format="JPEG", quality=95), **still),
        suffix("webp.jpg", "a WebP named .jpg", lambda path: image.save(path, format="WEBP", quality=95), **still),
        suffix("jpeg.heic", "a JPEG named .heic", lambda path: image.save(path, format="JPEG", quality=95), **still),
        suffix("mkv.mp4", "a Matroska file named .mp4", mkv_as_mp4, **clip),
        suffix("mkv.png", "a Matroska file named .png", mkv_as_mp4, size=None, code=1, out="cut.png"),
    ]
    return found


def _wrong() -> list[Input]:
    group = "damaged and wrong"

    def wrong(name: str, about: str, write: Callable[[Path], object], *says: str, **more) -> Input:
        def make(folder: Path) -> Path:
            write(folder / name)
            return folder / name

        expect = {"size": None, "frames": 0, "code": 1, "says": says}
        return Input(f"wrong: {name}", group, about, make, **(expect | more))

    def sound_only(path: Path) -> None:
        ffmpeg("-f lavfi -i sine=duration=0.5 -c:a aac {0}", path)

    def unknown_codec(path: Path) -> None:
        encode(path, _X264, frames=drawn(3))
        path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))

    def no_header(path: Path) -> None:
        encode(path, _X264, frames=drawn(12))
        data = path.read_bytes()
        path.write_bytes(data[: data.index(b"moov") - 4])

    def encrypted(path: Path) -> None:
        key = "-encryption_scheme cenc-aes-ctr -encryption_key 76a6c65c5ea762046bd749a2e632ccbb -encryption_kid a7e61c373e219033c21091fa607bf3b8"
        encode(path, f"{_X264} {key}", frames=drawn(6))

    noise = draw(7, 200, 100).tobytes()
    return [
        wrong("missing.mp4", "a file that does not exist", lambda path: None, "exist"),
        wrong("empty.mp4", "a video of zero bytes", lambda path: path.write_bytes(b""), "empty|zero|0 bytes|no video"),
        wrong("empty.png", "a picture of zero bytes", lambda path: path.write_bytes(b"")),
        wrong("noise.mp4", "noise named .mp4", lambda path: path.write_bytes(noise)),
        wrong("noise.jpg", "noise named .jpg", lambda path: path.write_bytes(noise)),
        wrong("noise.heic", "noise named .heic", lambda path: path.write_bytes(noise)),
        wrong("noise.exr", "noise named .exr", lambda path: path.write_bytes(noise)),
        wrong("noise.mkv", "noise named .mkv", lambda path: path.write_bytes(noise)),
        wrong("noise.dpx", "noise named .dpx", lambda path: path.write_bytes(noise)),
        wrong("text.mp4", "a text named .mp4", lambda path: path.write_text("Dear reader,\n" * 50)),
        wrong("text.txt", "a text", lambda path: path.write_text("Dear reader,\n" * 50)),
        wrong("page.png", "a web page named .png", lambda path: path.write_text("<!DOCTYPE html><html><body>404</body></html>")),
        wrong("drawing.svg", "an SVG drawing", lambda path: path.write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')),
        wrong("folder", "an empty folder", lambda path: path.mkdir()),
        wrong("sound.m4a", "sound only", sound_only, "video|picture"),
        wrong("sound.mp4", "a video without a picture", sound_only, "video|picture"),
        wrong("unknown.mp4", "a codec that nobody knows", unknown_codec, "zzzz|codec"),
        wrong("unfinished.mp4", "a recording that broke off: an MP4 without its header", no_header),
        wrong("encrypted.mp4", "an encrypted video", encrypted),
    ]  # fmt: skip


def _damaged() -> list[Input]:
    group = "damaged and wrong"

    def cut(name: str, about: str, arguments: str, part: float, right: float) -> Input:
        def make(folder: Path) -> Path:
            whole = encode(folder.parent / f"whole{Path(name).suffix}", arguments, frames=drawn(50))
            data = whole.read_bytes()
            (folder / name).write_bytes(data[: round(len(data) * part)])
            return folder / name

        return Input(
            f"damaged: {name}",
            group,
            about,
            make,
            drawn=lambda: drawn(50),
            damaged=right,
            code=1,
            says=("damaged",),
        )

    def truncated(name: str, about: str, **how) -> Input:
        def make(folder: Path) -> Path:
            image = Image.fromarray(draw(3))
            image.save(folder / name, **how)
            data = (folder / name).read_bytes()
            (folder / name).write_bytes(data[: len(data) * 3 // 4])
            return folder / name

        def as_far_as_it_goes(path: Path):
            from PIL import ImageFile

            ImageFile.LOAD_TRUNCATED_IMAGES = True
            try:
                return by_pillow(path)
            finally:
                ImageFile.LOAD_TRUNCATED_IMAGES = False

        expect = {"frames": 1, "code": 1, "out": "cut.png", "reference": as_far_as_it_goes}
        return Input(f"damaged: {name}", group, about, make, says=("damaged",), **expect)

    def half_webp(folder: Path) -> Path:
        Image.fromarray(draw(3)).save(folder.parent / "whole.webp", quality=95)
        data = (folder.parent / "whole.webp").read_bytes()
        (folder / "cut.webp").write_bytes(data[: len(data) // 2])
        return folder / "cut.webp"

    def zeroed(folder: Path) -> Path:
        """Zeros over the middle of the packets."""
        path = encode(folder / "zeros.mp4", f"{_X264} -g 10 -bf 0", frames=drawn(50))
        data = bytearray(path.read_bytes())
        begin = data.index(b"mdat") + 4
        middle = begin + (len(data) - begin) // 3
        data[middle : middle + 600] = bytes(600)
        path.write_bytes(data)
        return path

    return [
        cut("front.mp4", "an MP4 with its header in front, cut off in the middle", f"{_X264} -bf 0 -movflags +faststart", 0.5, 0.36),
        cut("cut.mkv", "a Matroska file cut off in the middle", f"{_X264} -bf 0", 0.5, 0.4),
        cut("cut.ts", "a transport stream cut off in the middle", f"{_X264} -bf 0 -g 10", 0.5, 0.36),
        cut("cut.avi", "an AVI without its index", "-c:v mpeg4 -q:v 2", 0.5, 0.36),
        truncated("cut.jpg", "a JPEG cut off", quality=95),
        truncated("cut.png", "a PNG cut off"),
        Input("damaged: cut.webp", group, "a WebP cut off, which is not readable at all", half_webp, size=None, code=1),
        Input("damaged: zeros.mp4", group, "zeros over a part of the packets", zeroed, drawn=lambda: drawn(50), damaged=0.6, code=1, says=("damaged",)),
    ]  # fmt: skip
