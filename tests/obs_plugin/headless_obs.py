"""OBS without a screen: runs it under Xvfb with a configuration of its own and drives it over obs-websocket.

    with HeadlessObs(folder, sources=[color("bg", 0xFF8000, 640, 360)], scripts=[script]) as obs:
        picture = obs.screenshot("bg")            # [H, W, 4] uint8, straight alpha

Needs the Debian packages obs-studio, xvfb and libgl1-mesa-dri; `missing()` says what is not there.
"""

import base64
import ctypes
import ctypes.util
import io
import json
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
from patience import PATIENCE, wait_for
from PIL import Image

LOST_FRAMES = 15  # at most, at a recording's end: what OBS and its encoder hold when they are killed

GLOBAL_INI = """[General]
FirstRun=true
Pre19Defaults=false
Pre21Defaults=false
Pre23Defaults=false
Pre24.1Defaults=false
EnableAutoUpdates=false
ConfirmOnExit=false
LastVersion=486539266
InfoIncrement=999

[Basic]
Profile=ci
ProfileDir=ci
SceneCollection=ci
SceneCollectionFile=ci
ConfigOnNewProfile=false

[BasicWindow]
PreviewEnabled=false
SysTrayEnabled=false

[OBSWebSocket]
FirstLoad=false
ServerEnabled=true
ServerPort={port}
AlertsEnabled=false
AuthRequired=false
"""

PROFILE_INI = """[General]
Name=ci

[Output]
Mode=Simple

[SimpleOutput]
FilePath={folder}
RecFormat=mkv
RecQuality={quality}
RecEncoder=x264
StreamEncoder=x264
Preset=ultrafast
VBitrate={bitrate}
UseAdvanced=true

[Video]
BaseCX={width}
BaseCY={height}
OutputCX={width}
OutputCY={height}
FPSType=1
FPSInt={fps}
ScaleType=bilinear
ColorFormat={color_format}
ColorSpace={color_space}
ColorRange={color_range}

[Audio]
SampleRate=48000
ChannelSetup=Stereo
"""


def missing() -> str:
    """The programs that are not installed, for a skip's reason; empty if all are there."""
    lacking = [program for program in ("obs", "Xvfb") if shutil.which(program) is None]
    return f"{' and '.join(lacking)} not installed (apt install obs-studio xvfb libgl1-mesa-dri)" if lacking else ""


def color(name: str, bgr: int, width: int, height: int, filters=()) -> dict:
    """bgr: 0xAABBGGRR, as OBS keeps colours."""
    settings = {"color": bgr, "width": width, "height": height}
    return _source(name, "color_source", settings, filters, versioned="color_source_v3")


def media(name: str, path: Path, filters=(), **settings) -> dict:
    settings = {"local_file": str(path), "is_local_file": True, "looping": True, "hw_decode": False, **settings}
    return _source(name, "ffmpeg_source", settings, filters)


def image(name: str, path: Path, filters=()) -> dict:
    return _source(name, "image_source", {"file": str(path)}, filters)


def matte(name: str = "matte", enabled: bool = True, **settings) -> dict:
    return video_filter("rvm_matte_filter", name, settings, enabled)


def video_filter(kind: str, name: str, settings: dict, enabled: bool = True, versioned: str = "") -> dict:
    return _source(name, kind, settings, (), versioned=versioned) | {"enabled": enabled}


def scene(name: str, items, filters=()) -> dict:
    """items: names of sources, back to front, or (name, {"pos": ..., "scale": ...})."""
    placed = []
    for index, item in enumerate(items):
        source, changes = (item, {}) if isinstance(item, str) else item
        placed.append({"name": source, "id": index + 1, "visible": True, **PLACE, **changes})
    settings = {"custom_size": False, "id_counter": len(placed) + 1, "items": placed}
    return _source(name, "scene", settings, filters)


PLACE = {
    "locked": False,
    "rot": 0.0,
    "pos": {"x": 0.0, "y": 0.0},
    "scale": {"x": 1.0, "y": 1.0},
    "align": 5,
    "bounds_type": 0,
    "bounds_align": 0,
    "bounds": {"x": 0.0, "y": 0.0},
    "crop_left": 0,
    "crop_top": 0,
    "crop_right": 0,
    "crop_bottom": 0,
    "scale_filter": "disable",
    "blend_method": "default",
    "blend_type": "normal",
    "group_item_backup": False,
}


def _source(name: str, kind: str, settings: dict, filters, versioned: str = "") -> dict:
    return {
        "id": kind,
        "versioned_id": versioned or kind,
        "name": name,
        "settings": settings,
        "mixers": 0,
        "muted": True,
        "enabled": True,
        "filters": list(filters),
    }


class HeadlessObs:
    """One OBS process and its X server. sources without a scene are put into one, back to front."""

    def __init__(self, folder: Path, sources=(), scripts=(), size=(640, 360), fps=30, env=None, **profile):
        self.folder, self.size, self.fps = Path(folder), size, fps
        self.port = _free_port()
        self.config = self.folder / ".config" / "obs-studio"
        self.env = {key: value for key, value in os.environ.items() if key not in ("WAYLAND_DISPLAY", "PYTHONPATH")}
        self.env |= {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / ".config"), **(env or {})}
        self.env |= {"XDG_RUNTIME_DIR": str(self.folder), "LIBGL_ALWAYS_SOFTWARE": "1", "QT_QPA_PLATFORM": "xcb"}
        self.env |= {"LANG": "C.UTF-8", "PULSE_SERVER": "none", "NO_AT_BRIDGE": "1", "QT_LOGGING_RULES": "*=false"}
        self.profile = {
            "quality": "Small",
            "bitrate": 6000,
            "color_format": "NV12",
            "color_space": "709",
            "color_range": "Partial",
            **profile,
        }
        self.log = self.folder / "obs.log"
        self._x_server = self.process = self.remote = None
        (self.config / "basic" / "profiles" / "ci").mkdir(parents=True, exist_ok=True)
        (self.config / "basic" / "scenes").mkdir(parents=True, exist_ok=True)
        self.write_collection("ci", sources, scripts)

    def write_collection(self, name: str, sources, scripts=()) -> None:
        """scripts: paths, or (path, settings)."""
        sources = list(sources)
        scenes = [source["name"] for source in sources if source["id"] == "scene"]
        if not scenes:
            sources.append(scene("Scene", [source["name"] for source in sources]))
            scenes = ["Scene"]
        scripts = [script if isinstance(script, tuple) else (script, {}) for script in scripts]
        collection = {
            "name": name,
            "current_scene": scenes[0],
            "current_program_scene": scenes[0],
            "scene_order": [{"name": scene_name} for scene_name in scenes],
            "current_transition": "Cut",
            "transition_duration": 300,
            "transitions": [],
            "sources": sources,
            "groups": [],
            "modules": {"scripts-tool": [{"path": str(path), "settings": settings} for path, settings in scripts]},
        }
        (self.config / "basic" / "scenes" / f"{name}.json").write_text(json.dumps(collection, indent=1))

    def start(self) -> "HeadlessObs":
        width, height = self.size
        (self.config / "global.ini").write_text(GLOBAL_INI.format(port=self.port))
        profile = PROFILE_INI.format(folder=self.folder, width=width, height=height, fps=self.fps, **self.profile)
        (self.config / "basic" / "profiles" / "ci" / "basic.ini").write_text(profile)
        if self._x_server is None:
            self._start_x_server()
        command = ["obs", "--multi", "--collection", "ci", "--profile", "ci", "--disable-missing-files-check"]
        command += ["--unfiltered_log", "--verbose"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        self.wait_until(self._connect, "OBS")
        self.wait_until(lambda: self.request("GetSceneList"), "the scenes")
        return self

    def _connect(self) -> bool:
        try:
            self.remote = Remote(self.port)
        except OSError:
            return False
        return True

    def _holds(self, condition) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"OBS ended with {self.process.returncode}:\n{self.log_tail()}"
        try:
            return bool(condition())
        except RequestError:
            return False

    def _start_x_server(self) -> None:
        reading, writing = os.pipe()
        self._x_server = subprocess.Popen(
            [
                "Xvfb",
                "-displayfd",
                str(writing),
                "-screen",
                "0",
                "1280x1024x24",
                "+extension",
                "GLX",
                "-nolisten",
                "tcp",
            ],
            pass_fds=(writing,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        with os.fdopen(reading) as number:
            self.env["DISPLAY"] = f":{number.readline().strip()}"

    def request(self, kind: str, **data) -> dict:
        """One obs-websocket request; raises RequestError if OBS refuses it."""
        assert self.remote is not None
        return self.remote.request(kind, data)

    def screenshot(self, source: str) -> np.ndarray:
        """[H, W, 4] uint8 RGBA with straight alpha, as OBS renders the source now."""
        reply = self.request("GetSourceScreenshot", sourceName=source, imageFormat="png", imageCompressionQuality=0)
        with Image.open(io.BytesIO(base64.b64decode(reply["imageData"].split(",", 1)[1]))) as picture:
            return np.array(picture.convert("RGBA"))

    def wait_until(self, condition, what: str = "it") -> None:
        """A request that OBS refuses counts as not yet: a video that is being opened has no size, for example."""
        wait_for(lambda: self._holds(condition), what, tells=self.log_tail, pause=0.02)

    def record_and_kill(self, frames: int, enough=lambda: True) -> Path:
        """A recording of at least that many frames, and until it is enough. OBS is killed then: version 29 often
        crashes when a lossless recording is stopped (in obs-ffmpeg, whose encoder is freed while a frame is in it). Of
        the file nothing is missing but the last few frames."""
        self.request("StartRecord")
        self.wait_until(lambda: self.request("GetRecordStatus")["outputActive"], "the recording")
        self.wait_until(lambda: self.recorded() >= frames + LOST_FRAMES and enough(), "the recording's end")
        path = max(self.folder.glob("*.avi"), key=lambda file: file.stat().st_mtime)
        self.kill()
        return path

    def recorded(self) -> int:
        """The frames of the recording so far."""
        return round(self.request("GetRecordStatus")["outputDuration"] * self.fps / 1000)

    def skipped(self) -> int:
        """How many frames OBS has left out so far, as it had no time for them."""
        stats = self.request("GetStats")
        return stats["renderSkippedFrames"] + stats["outputSkippedFrames"]

    def log_text(self) -> str:
        return self.log.read_text(errors="replace")

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])

    def quit(self) -> int:
        """Closes the main window as its user would; returns OBS's exit code."""
        assert self.process is not None
        if self.remote is not None:  # OBS 29 can crash while it closes a connection
            self.remote.close()
            self.remote = None
            time.sleep(0.3)
        _close_window(self.env["DISPLAY"], "OBS ")
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"OBS does not quit:\n{self.log_tail()}") from None

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.remote = None

    def stop(self) -> None:
        """Ends whatever still runs."""
        if self.remote is not None:
            self.remote.close()
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if self._x_server is not None:
            self._x_server.terminate()
            self._x_server.wait()
            self._x_server = None

    def __enter__(self) -> "HeadlessObs":
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_) -> None:
        self.stop()


class RequestError(Exception):
    pass


class Remote:
    """The client's side of obs-websocket 5 (RFC 6455, text only)."""

    def __init__(self, port: int):
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._buffer = b""
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        self._socket.sendall(
            f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: obswebsocket.json\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._buffer:
            self._receive()
        self._buffer = self._buffer.split(b"\r\n\r\n", 1)[1]
        self._read()  # hello
        self._send({"op": 1, "d": {"rpcVersion": 1, "eventSubscriptions": 0}})
        self._read()  # identified

    def request(self, kind: str, data: dict) -> dict:
        number = secrets.token_hex(8)
        self._send({"op": 6, "d": {"requestType": kind, "requestId": number, "requestData": data}})
        while True:
            message = self._read()
            if message["op"] == 7 and message["d"]["requestId"] == number:
                break
        status = message["d"]["requestStatus"]
        if not status["result"]:
            raise RequestError(f"{kind}: {status}")
        return message["d"].get("responseData") or {}

    def _send(self, message: dict) -> None:
        payload, mask = json.dumps(message).encode(), secrets.token_bytes(4)
        length = bytes([0xFE]) + struct.pack(">H", len(payload)) if len(payload) > 125 else bytes([0x80 | len(payload)])
        assert len(payload) < 65536
        self._socket.sendall(b"\x81" + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def _read(self) -> dict:
        text = b""
        while True:
            head = self._take(2)
            length = head[1] & 0x7F
            if length > 125:
                length = int.from_bytes(self._take(2 if length == 126 else 8), "big")
            payload = self._take(length)
            if head[0] & 0xF == 8:
                raise OSError("OBS closed the connection")
            if head[0] & 0xF in (0, 1):
                text += payload
                if head[0] & 0x80:
                    return json.loads(text)

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._receive()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _receive(self) -> None:
        more = self._socket.recv(1 << 20)
        if not more:
            raise OSError("OBS closed the connection")
        self._buffer += more

    def close(self) -> None:
        self._socket.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class _ClientMessage(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("padding", ctypes.c_long * 24),
    )


def _close_window(display_name: str, title: str) -> None:
    """Asks the window whose title begins with `title` to close, as a window manager does."""
    x11 = ctypes.CDLL("libX11.so.6")
    x11.XOpenDisplay.restype = x11.XDefaultRootWindow.restype = ctypes.c_void_p
    display = ctypes.c_void_p(x11.XOpenDisplay(display_name.encode()))
    atom = lambda name: x11.XInternAtom(display, name, 0)  # noqa: E731
    for window in _windows(x11, display, x11.XDefaultRootWindow(display)):
        name = ctypes.c_char_p()
        x11.XFetchName(display, ctypes.c_ulong(window), ctypes.byref(name))
        if name.value and name.value.decode(errors="replace").startswith(title):
            event = _ClientMessage(type=33, window=window, message_type=atom(b"WM_PROTOCOLS"), format=32)
            event.data[0] = atom(b"WM_DELETE_WINDOW")
            x11.XSendEvent(display, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(event))
    x11.XCloseDisplay(display)


def _windows(x11, display, window):
    root, parent = ctypes.c_ulong(), ctypes.c_ulong()
    children, count = ctypes.POINTER(ctypes.c_ulong)(), ctypes.c_uint()
    found = ctypes.byref(root), ctypes.byref(parent), ctypes.byref(children), ctypes.byref(count)
    x11.XQueryTree(display, ctypes.c_ulong(window), *found)
    for index in range(count.value):
        yield children[index]
        yield from _windows(x11, display, children[index])
