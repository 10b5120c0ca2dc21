"""Runs a part of the filter without OBS, in an interpreter of Lua 5.1, which is also LuaJIT's language."""

from pathlib import Path

import rvm_frame_protocol as protocol
from lupa.lua51 import LuaRuntime, lua_type

PLUGIN = Path(protocol.__file__).parent
FILES = sorted(path.name for path in PLUGIN.glob("*.lua"))
SLOTS = 8


def text_of(name: str) -> str:
    return (PLUGIN / name).read_text(encoding="utf-8")


class Part:
    """module: what the file returned, given the protocol's numbers as rvm_filter.lua gives them. obslua: what the part
    finds in that table."""

    def __init__(self, name: str, obslua: dict | None = None):
        self._runtime = LuaRuntime(unpack_returned_tuples=True)
        self._runtime.execute('collectgarbage("stop")')  # lupa 2.8 mixes up objects after a collection (its issue 294)
        self._runtime.globals().obslua = self.table(obslua or {})
        run = self._runtime.eval("function(text, name, P) return assert(loadstring(text, name))(P) end")
        self.numbers = self.table(protocol.shim_numbers(SLOTS))
        self.module = run(text_of(name), "@" + name, self.numbers)

    def table(self, values):
        """A Lua table of a dict or a list, and of those in it."""
        return self._runtime.table_from(values, recursive=True)


def plain(value):
    """A Lua value, with its tables as dicts, or as lists where they are sequences."""
    if lua_type(value) != "table":
        return value
    keys = list(value.keys())
    if keys == list(range(1, len(keys) + 1)):
        return [plain(value[key]) for key in keys]
    return {key: plain(value[key]) for key in keys}


def compile_only(text: str, name: str) -> None:
    LuaRuntime().eval("function(text, name) assert(loadstring(text, name)) end")(text, "@" + name)
