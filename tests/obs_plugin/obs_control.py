"""A script for OBS through which a test runs Python inside it: `code` that is sent to the socket RVM_CONTROL.

The code may use `obs` (obspython), `libobs` and `scripting` (ctypes), `in_window(function)` (calls it on the thread of
OBS's windows and waits), `load`, `unload` and `reload` of scripts as the Scripts window does them (to be called in the
window's thread), and keeps its names from one time to the next; it sets `result`. RVM_CONTROL_LOADS: scripts that this
one loads at its own start.
"""

import ctypes
import json
import os
import socket
import threading
import traceback

import obspython as obs  # noqa: F401 - for the code

libobs = ctypes.CDLL(None)
with open("/proc/self/maps") as maps:
    scripting = ctypes.CDLL(next(line.split()[-1] for line in maps if "/libobs-scripting.so" in line))
scripting.obs_script_create.restype = ctypes.c_void_p
scripting.obs_script_create.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
for call in (scripting.obs_script_destroy, scripting.obs_script_reload):
    call.argtypes = (ctypes.c_void_p,)
TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
libobs.obs_queue_task.argtypes = (ctypes.c_int, TASK, ctypes.c_void_p, ctypes.c_bool)

loaded = {}
names = {}
server = None


def in_window(function):
    outcome = []
    task = TASK(lambda _: outcome.append(function()))
    libobs.obs_queue_task(0, task, None, True)
    return outcome[0]


def load(path):
    loaded[path] = scripting.obs_script_create(path.encode(), None)


def unload(path):
    scripting.obs_script_destroy(loaded.pop(path))


def reload(path):
    scripting.obs_script_reload(loaded[path])


def serve():
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, connection.makefile("rwb") as stream:
            code = json.loads(stream.readline().decode())
            names["result"] = None
            try:
                exec(code, names)
                answer = {"result": names["result"]}
            except BaseException:
                answer = {"error": traceback.format_exc()}
            stream.write(json.dumps(answer).encode())


def script_load(settings):
    global server
    names.update(globals())
    for path in os.environ.get("RVM_CONTROL_LOADS", "").split():
        load(path)
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.environ["RVM_CONTROL"])
    server.listen(8)
    threading.Thread(target=serve, daemon=True).start()


def script_unload():
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    os.unlink(os.environ["RVM_CONTROL"])
    for path in list(loaded):
        unload(path)
