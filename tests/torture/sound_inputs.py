"""Videos with sound: a white frame and a beep at two places, so that their distance can be measured."""

from pathlib import Path

from .drawing import drawn, encode, ffmpeg, write_beeps
from .inputs import Input

_FLASHES = (10, 35)  # of 50 frames, at 25 a second
_X264 = "-c:v libx264 -preset veryfast -crf 8"
_SIZE = (64, 48)
_GROUP = "sound"


def _clip(
    name: str,
    about: str,
    arguments: str,
    *,
    video: str = _X264,
    channels: int = 1,
    rate: int = 48000,
    apart: float = 0,
    seconds: float = 2,
    inputs: str = "-i {1}",
    frames: int = 50,
    pix_fmt: str = "yuv420p",
    **expect,
) -> Input:
    """apart: by how much each beep comes after its flash, in the samples themselves."""

    def make(folder: Path) -> Path:
        beeps = tuple(flash / 25 + apart for flash in _FLASHES)
        sound = write_beeps(folder.parent / "beeps.wav", seconds, beeps, channels, rate)
        shown = drawn(frames, *_SIZE, _FLASHES)
        return encode(
            folder / name, f"-map 0:v -map 1:a {video} {arguments}", sound, frames=shown, inputs=inputs, pix_fmt=pix_fmt
        )

    known = {"size": _SIZE, "frames": frames, "beeps": (apart,) * len(_FLASHES), "tracks": ((channels, rate),)}
    known["drawn"] = lambda: drawn(frames, *_SIZE, _FLASHES)
    return Input(name, _GROUP, about, make, **(known | expect))


def inputs() -> list[Input]:
    mpeg2 = "-c:v mpeg2video -q:v 2"
    vp8 = "-c:v libvpx -b:v 2M -crf 4 -lag-in-frames 0"
    found = [
        _clip("aac.mp4", "AAC in MP4, copied byte by byte", "-c:a aac", packets=True),
        _clip("aac_stereo.mp4", "AAC, stereo, 44.1 kHz", "-c:a aac", channels=2, rate=44100, packets=True),
        _clip("aac51.mp4", "AAC 5.1", "-ac 6 -c:a aac", channels=6, packets=True),
        _clip("aac.ts", "AAC in a transport stream", "-c:a aac -bf 2", probed="begin"),
        _clip("aac.flv", "AAC in FLV", "-c:a aac", probed="begin"),
        _clip("aac.mkv", "AAC in Matroska", "-c:a aac", out="cut.mkv", probed="begin"),
        _clip("mp3.mp4", "MP3 in MP4", "-c:a libmp3lame"),
        _clip("mp3.avi", "MP3 in AVI", "-c:a libmp3lame -b:a 128k", video="-c:v mpeg4 -q:v 2", beep_tolerance=0.06, probed="all"),
        _clip("mp2.mpg", "MP2 in a program stream", "-c:a mp2", video=mpeg2, probed="begin"),
        _clip("ac3.mts", "AC-3 in AVCHD", "-c:a ac3 -f mpegts -mpegts_m2ts_mode 1", probed="begin"),
        _clip("ac3_51.vob", "AC-3 5.1 in a VOB file", "-ac 6 -c:a ac3 -f vob", video=mpeg2, channels=6, probed="begin"),
        _clip("eac3.mkv", "E-AC-3 in Matroska", "-c:a eac3", probed="begin"),
        _clip("dts.mkv", "DTS in Matroska", "-c:a dca -strict -2", out="cut.mkv", probed="begin"),
        _clip("opus.webm", "Opus in WebM, into WebM", "-c:a libopus", video=vp8, out="cut.webm", packets=True, probed="begin"),
        _clip("opus.mkv", "Opus, into MOV", "-c:a libopus", probed="begin"),
        _clip("vorbis.webm", "Vorbis in WebM, into MOV", "-c:a libvorbis", video=vp8, probed="begin"),
        _clip("vorbis.ogv", "Theora and Vorbis in Ogg", "-c:a libvorbis", video="-c:v libtheora -q:v 10"),
        _clip("flac.mkv", "FLAC in Matroska", "-c:a flac", out="cut.mkv", packets=True, probed="begin"),
        _clip("alac.mov", "Apple Lossless", "-c:a alac", packets=True),
        _clip("pcm16.mov", "PCM, 16 bits", "-c:a pcm_s16le", beep_tolerance=0.005),
        _clip("pcm24.mov", "PCM, 24 bits, big-endian", "-c:a pcm_s24be", beep_tolerance=0.005),
        _clip("pcm_float.mkv", "PCM, float", "-c:a pcm_f32le", out="cut.mkv", beep_tolerance=0.005),
        _clip("pcm_u8.avi", "PCM, 8 bits, 11025 Hz", "-ar 11025 -c:a pcm_u8", video="-c:v mjpeg -q:v 2", pix_fmt="yuvj420p", rate=11025),
        _clip("mulaw.mov", "µ-law, 8 kHz", "-ar 8000 -c:a pcm_mulaw", rate=8000),
        _clip("adpcm.avi", "ADPCM in AVI", "-c:a adpcm_ms", video="-c:v mpeg4 -q:v 2"),
        _clip("wma.wmv", "Windows Media Audio", "-c:a wmav2", video="-c:v wmv2 -q:v 2", beep_tolerance=0.06, rate=44100, apart=0, probed="begin"),
        _clip("pcm.mxf", "PCM in MXF", "-c:a pcm_s16le", video=mpeg2, timecode="00:00:00:00", beep_tolerance=0.005),
        _clip("amr.3gp", "AAC in 3GP", "-c:a aac"),
        _clip("late_sound.mp4", "the sound begins 0.3 s after the picture", "-c:a aac", inputs="-itsoffset 0.3 -i {1}", beeps=(0.3, 0.3)),
        _clip("late_sound.mkv", "the sound begins 0.3 s after the picture (Matroska)", "-c:a aac", inputs="-itsoffset 0.3 -i {1}", beeps=(0.3, 0.3), out="cut.mkv"),
        _clip("late_sound.ts", "the sound begins 0.3 s after the picture (transport stream)", "-c:a aac", inputs="-itsoffset 0.3 -i {1}", beeps=(0.3, 0.3)),
        _clip("apart.mp4", "beeps 0.2 s after their flashes", "-c:a aac", apart=0.2),
        _clip("short_sound.mp4", "the sound ends before the picture", "-c:a aac", seconds=1.5),
        _clip("long_sound.mp4", "the sound outlasts the picture by 3 s", "-c:a aac", seconds=5),
        _clip("long_sound.mkv", "the sound outlasts the picture by 3 s (Matroska)", "-c:a aac", seconds=5, out="cut.mkv", probed="begin"),
        _clip("two_tracks.mp4", "two tracks of sound", "-map 1:a -c:a aac", tracks=((1, 48000), (1, 48000)), packets=True),
        _clip("sound_first.mp4", "the sound is the first stream", "-c:a aac", video=f"-map 1:a -map -0:a {_X264}", tracks=((1, 48000), (1, 48000))),
        _clip("no_audio.mp4", "--no-audio", "-c:a aac", options=("--no-audio",), tracks=(), beeps=None),
    ]  # fmt: skip

    def late_picture(folder: Path) -> Path:
        sound = write_beeps(folder.parent / "beeps.wav", 2.6, tuple(flash / 25 + 0.6 for flash in _FLASHES))
        whole = encode(folder.parent / "whole.mkv", _X264, frames=drawn(50, *_SIZE, _FLASHES))
        ffmpeg(
            "-itsoffset 0.6 -i {0} -i {1} -map 0:v -map 1:a -c:v copy -c:a aac {2}",
            whole,
            sound,
            folder / "late_picture.mkv",
        )
        return folder / "late_picture.mkv"

    found.append(
        Input("late_picture.mkv", _GROUP, "the picture begins 0.6 s after the sound", late_picture, size=_SIZE, frames=50,
              probed="begin", beeps=(0.0, 0.0), tracks=((1, 48000),),
              drawn=lambda: drawn(50, *_SIZE, _FLASHES), out="cut.mkv")
    )  # fmt: skip

    def joined(folder: Path) -> Path:
        parts = []
        for name in ("one", "two"):
            sound = write_beeps(folder.parent / "beeps.wav", 2, tuple(flash / 25 for flash in _FLASHES))
            parts.append(
                encode(
                    folder.parent / f"{name}.ts",
                    f"-map 0:v -map 1:a {_X264} -bf 2 -c:a aac",
                    sound,
                    frames=drawn(50, *_SIZE, _FLASHES),
                    inputs="-i {1}",
                )
            )
        (folder / "joined.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
        return folder / "joined.ts"

    found.append(
        Input("joined_sound.ts", _GROUP, "two recordings joined, with sound", joined, size=_SIZE, frames=100, beeps=(0.0,) * 4,
              tracks=((1, 48000),), drawn=lambda: drawn(50, *_SIZE, _FLASHES) * 2, says=("note",), probed="begin")
    )  # fmt: skip
    return found
