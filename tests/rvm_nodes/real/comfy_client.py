"""What a ComfyUI frontend does, for tests: queues graphs over HTTP, follows them on the websocket."""

import json
import struct
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from patience import PATIENCE

PREVIEW_IMAGE = 1  # of the binary messages
ENDS = ("execution_success", "execution_error", "execution_interrupted")


class PromptRejected(Exception):  # noqa: N818
    """ComfyUI did not take the graph. `answer`: its JSON with `error` and `node_errors`."""

    def __init__(self, answer: dict):
        super().__init__(json.dumps(answer, indent=1))
        self.answer = answer


@dataclass(frozen=True)
class Message:
    """What the server said. Binary messages: kind "preview", data the picture's bytes."""

    kind: str
    data: Any

    @property
    def prompt_id(self) -> str | None:
        return self.data.get("prompt_id") if isinstance(self.data, dict) else None


@dataclass(frozen=True)
class Run:
    """One queued graph that came to an end. outputs: by node id, as in the history."""

    prompt_id: str
    end: Message
    messages: list[Message] = field(repr=False)
    outputs: dict[str, dict] = field(repr=False)

    @property
    def status(self) -> str:
        return self.end.kind.removeprefix("execution_")

    @property
    def error(self) -> dict:
        """node_id, node_type, exception_type, exception_message ..."""
        assert self.status == "error", self.end
        return self.end.data

    def of_kind(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message.kind == kind]


class ComfyClient:
    """One browser tab's worth of connection to a server."""

    def __init__(self, url: str):
        import websocket  # here, so that the tests can be collected without it

        self.url = url
        self.id = uuid.uuid4().hex
        self.messages: list[Message] = []
        self._news = threading.Condition()
        self._socket = websocket.create_connection(
            f"{url.replace('http', 'ws', 1)}/ws?clientId={self.id}", timeout=PATIENCE
        )
        self._socket.settimeout(None)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def close(self) -> None:
        self._socket.close()
        self._listener.join(10)

    # ---- HTTP

    def read(self, path: str, data: dict | None = None) -> bytes:
        """The body of a GET, or of a POST where there is data. Raises urllib.error.HTTPError."""
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.read()

    def json(self, path: str, data: dict | None = None) -> Any:
        return json.loads(self.read(path, data) or b"null")

    def object_info(self) -> dict[str, dict]:
        return self.json("/object_info")

    def queue(self, prompt: dict, workflow: dict | None = None) -> str:
        """Queues an API-format graph and returns its id. Raises PromptRejected."""
        extra = {"extra_pnginfo": {"workflow": workflow}} if workflow else {}
        try:
            answer = self.json("/prompt", {"prompt": prompt, "client_id": self.id, "extra_data": extra})
        except urllib.error.HTTPError as error:
            raise PromptRejected(json.loads(error.read())) from error
        if answer.get("node_errors"):  # it would run what is left of the graph
            raise PromptRejected(answer)
        return answer["prompt_id"]

    def interrupt(self) -> None:
        """Presses cancel."""
        self.read("/interrupt", {})

    def history(self, prompt_id: str) -> dict:
        return self.json(f"/history/{prompt_id}")[prompt_id]

    def view(self, file: dict) -> bytes:
        """The contents of a file that a node has shown: {filename, subfolder, type}."""
        query = urllib.parse.urlencode({key: file[key] for key in ("filename", "subfolder", "type")})
        return self.read(f"/view?{query}")

    # ---- the websocket

    def wait_for(self, matches: Callable[[Message], bool], since: int = 0) -> Message:
        """The first message from number `since` on that matches; waits for it if need be."""
        end = time.monotonic() + PATIENCE
        with self._news:
            while True:
                for message in self.messages[since:]:
                    if matches(message):
                        return message
                since = max(since, len(self.messages))
                if not self._news.wait(end - time.monotonic()) and time.monotonic() >= end:
                    raise TimeoutError(f"No such message within {PATIENCE:.0f} s")

    def wait(self, prompt_id: str) -> Run:
        """Waits for a queued graph's end."""
        end = self.wait_for(lambda message: message.kind in ENDS and message.prompt_id == prompt_id)
        messages = self._messages_of(prompt_id)
        while True:  # the history is written just after the message
            history = self.json(f"/history/{prompt_id}")
            if prompt_id in history:
                return Run(prompt_id, end, messages, history[prompt_id]["outputs"])
            time.sleep(0.02)

    def run(self, prompt: dict, workflow: dict | None = None) -> Run:
        return self.wait(self.queue(prompt, workflow))

    def run_to_idle(self, prompt: dict, workflow: dict | None = None) -> list[Run]:
        """Runs a graph and those that nodes queue in its course (VideoHelperSuite's meta batches), in their order."""
        since = len(self.messages)
        self.queue(prompt, workflow)
        end = time.monotonic() + PATIENCE
        while True:
            queue = self.json("/queue")
            if not queue["queue_running"] and not queue["queue_pending"]:
                break
            if time.monotonic() > end:
                raise TimeoutError(f"The queue was not empty after {PATIENCE:.0f} s")
            time.sleep(0.05)
        with self._news:
            begun = [message for message in self.messages[since:] if message.kind == "execution_start"]
        return [self.wait(message.data["prompt_id"]) for message in begun]

    def _messages_of(self, prompt_id: str) -> list[Message]:
        """From the graph's start to its end; with the previews, which do not tell the graph."""
        with self._news:
            mine = [n for n, message in enumerate(self.messages) if message.prompt_id == prompt_id]
            return self.messages[mine[0] : mine[-1] + 1]

    def _listen(self) -> None:
        while True:
            try:
                received = self._socket.recv()
            except Exception:  # closed, here or there
                return
            if not received:
                return
            message = _message(received)
            if message:
                with self._news:
                    self.messages.append(message)
                    self._news.notify_all()


def _message(received: str | bytes) -> Message | None:
    if isinstance(received, str):
        content = json.loads(received)
        return Message(content["type"], content.get("data"))
    kind = struct.unpack(">I", received[:4])[0]
    return Message("preview", received[8:]) if kind == PREVIEW_IMAGE else None
