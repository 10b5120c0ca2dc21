"""RVM Studio's script for OBS: add this file in Tools > Scripts. "RVM Matte" then appears among the effect filters.

The script loads the filter (rvm_filter.lua, which runs without Python), shares memory with it, and keeps the worker
process running that computes the mattes. No Python runs while OBS draws, because OBS would wait for it, maybe forever.
"""

import ctypes
import os
import sys

import obspython as obs
import rvm_environment
import rvm_frame_protocol as protocol
import rvm_supervisor

FOLDER = os.path.dirname(os.path.abspath(__file__))


class Running:
    """What exists while the script is loaded: shared memory, worker, filter."""

    def __init__(self):
        """Raises OSError, AttributeError or RuntimeError if this OBS lacks something that is needed."""
        self.arena = protocol.Arena.create()
        self.worker = rvm_supervisor.Supervisor(self.arena, worker_command, log)
        try:
            self.filter = load_filter(self.arena)
        except BaseException:
            self.arena.close()
            raise
        self.worker.start()

    def stop(self):
        self.filter.unload()  # from here on nothing in OBS accesses the memory
        self.worker.stop()
        self.arena.close()


running = None
problem = ""  # why nothing is running


def script_description():
    return (
        "<h3>RVM Matte</h3>Cuts people out of a video without a green screen. To use it, right-click a camera, media"
        " source or scene, choose <i>Filters</i> and add <i>RVM Matte</i>.<br>While this script is not loaded, OBS"
        " shows these sources unfiltered."
    )


def script_load(settings):
    global running, problem
    try:
        running, problem = Running(), ""
    except (OSError, AttributeError, RuntimeError) as error:
        problem = f"This OBS cannot load the filter: {error}"
        log(problem)


def script_unload():
    global running
    if running is not None:
        running.stop()
        running = None


def script_properties():
    properties = obs.obs_properties_create()
    for name, text in status_rows():
        row = obs.obs_properties_add_text(properties, name, text, obs.OBS_TEXT_INFO)
        obs.obs_property_set_visible(row, bool(text))
    obs.obs_properties_add_button(properties, "refresh", "Refresh", refresh)
    button = obs.obs_properties_add_button(properties, "restart", "Restart worker", restart_worker)
    obs.obs_property_set_long_description(button, "Restarts the process that computes the mattes.")
    return properties


def refresh(properties, button):
    for name, text in status_rows():
        row = obs.obs_properties_get(properties, name)
        if row is not None:
            obs.obs_property_set_description(row, text)
            obs.obs_property_set_visible(row, bool(text))
    return True  # OBS draws the panel again


def restart_worker(properties, button):
    if running is not None:
        running.worker.restart()
    return refresh(properties, button)


def status_rows():
    """(name, text) of each row of the panel. Rows without text are hidden."""
    if running is None:
        return [("error", problem or "Not loaded.")]
    header, status = running.arena.header, running.arena.read_status()
    states = {
        protocol.ABSENT: "stopped",
        protocol.STARTING: "starting",
        protocol.READY: "ready",
        protocol.FAILED: "failed",
    }
    state = states.get(header.worker_state, "unknown")
    rows = [("state", "Worker: {}{}".format(state, ": " + status["message"] if status.get("message") else ""))]
    rows += [
        (name, "{}: {}".format(name.capitalize(), status.get(name) or "–")) for name in ("device", "engine", "model")
    ]
    drawn = {protocol.LIVE: "live", protocol.FROZEN: "frozen", protocol.RAW: "unfiltered", protocol.HIDDEN: "hidden"}
    for slot in running.arena.slots:
        control = slot.control
        text = ""
        if control.instance:
            text = "{}: {}x{}, {:.1f} mattes per second, latency {:.0f} ms, delay {:.0f} ms, {}".format(
                control.name.decode("utf-8", "replace"),
                control.width,
                control.height,
                control.rate_milli / 1000,
                control.latency_ns / 1e6,
                control.delay_ns / 1e6,
                drawn.get(control.shown, "waiting"),
            )
        rows.append((f"slot{slot.index}", text))
    rows.append(("error", "Last error: " + (running.worker.error or status.get("error") or "none")))
    return rows


def log(text):
    obs.script_log(obs.LOG_INFO, "RVM Matte: " + text)


def worker_command(arena_name):
    python = rvm_environment.find_python(FOLDER)
    return rvm_environment.worker_command(python, arena_name)


class Filter:
    """rvm_filter.lua, loaded by OBS's scripting library as the Scripts window does it, but not shown in that window."""

    def __init__(self, scripting, script):
        self._scripting, self._script = scripting, script

    def unload(self):
        self._scripting.obs_script_destroy(self._script)


def load_filter(arena):
    """Raises OSError or AttributeError if OBS's libraries are not found, RuntimeError if OBS refuses the filter."""
    libobs, scripting = (ctypes.CDLL(name) for name in (library("obs"), library("obs-scripting")))
    handle, text = ctypes.c_void_p, ctypes.c_char_p
    libobs.obs_data_create.restype = handle
    libobs.obs_data_release.argtypes = (handle,)
    libobs.obs_data_set_string.argtypes = (handle, text, text)
    libobs.obs_data_set_int.argtypes = (handle, text, ctypes.c_longlong)
    scripting.obs_script_create.restype = handle
    scripting.obs_script_create.argtypes = (text, handle)
    scripting.obs_script_loaded.restype = ctypes.c_bool
    scripting.obs_script_loaded.argtypes = scripting.obs_script_destroy.argtypes = (handle,)

    numbers = protocol.shim_numbers(len(arena.slots))
    settings = libobs.obs_data_create()
    libobs.obs_data_set_string(settings, b"address", str(arena.address).encode())
    libobs.obs_data_set_string(settings, b"layout", protocol.c_layout().encode())
    libobs.obs_data_set_string(settings, b"names", " ".join(numbers).encode())
    for name, number in numbers.items():
        libobs.obs_data_set_int(settings, name.encode(), number)
    script = scripting.obs_script_create(script_file("rvm_filter.lua"), settings)
    libobs.obs_data_release(settings)
    if not script:
        raise RuntimeError("OBS was built without Lua scripting.")
    if not scripting.obs_script_loaded(script):
        scripting.obs_script_destroy(script)
        raise RuntimeError("OBS rejected rvm_filter.lua. See Tools > Scripts > Script Log for the reason.")
    return Filter(scripting, script)


def script_file(name):
    """The path of a file in this folder in the form that OBS needs: with "/", on Windows too. OBS derives Lua's
    script_path() from the last "/"."""
    return os.fsencode(os.path.join(FOLDER, name).replace(os.sep, "/"))


def library(name):
    """The argument of ctypes.CDLL for OBS's library obs or obs-scripting, which this process has already loaded. None
    stands for everything that is loaded globally."""
    if sys.platform == "win32":
        return name + ".dll"
    if sys.platform == "darwin" or name == "obs":
        return None
    with open("/proc/self/maps") as maps:  # a plugin loaded it, not globally; the file name contains its version
        paths = [line.split(None, 5)[-1].strip() for line in maps if f"/lib{name}.so" in line]
    if not paths:
        raise OSError(f"lib{name} is not loaded")
    return paths[0]
