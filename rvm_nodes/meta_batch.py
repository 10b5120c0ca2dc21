"""Whose state a node carries from one run of the graph to the next, where VideoHelperSuite cuts a long clip.

Its Meta Batch Manager queues the same graph again for every batch, with a counter `requeue` in its inputs (absent in
the first run). A node that stands behind such a manager goes on with the state it left at the batch before. States are
kept in this module, outside the node, because ComfyUI may make a new node object for every run.
"""

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from ..core import StudioError

MANAGER = "VHS_BatchManager"
COUNTER = "requeue"
MOST_STREAMS = 32  # a state takes a few megabytes

State = dict[str, object]


@dataclass(frozen=True)
class Batch:
    """The stream a node is at work on, and which of its batches this is (0, 1, ...)."""

    stream: str
    number: int


def find_batch(prompt: dict[str, Any] | None, node_id: str | None) -> Batch | None:
    """The batch of a node in the graph `prompt` (ComfyUI's PROMPT), or None where no manager stands before it.

    A stream is told by the node and everything before it but the counter, so that two clips are two streams, and so
    are the same clip with other settings."""
    if not prompt or node_id is None or node_id not in prompt:
        return None
    before = _ancestors(prompt, node_id)
    counters = [prompt[id]["inputs"].get(COUNTER, 0) for id in before if prompt[id].get("class_type") == MANAGER]
    if not counters:
        return None
    graph = {
        id: [prompt[id].get("class_type"), {k: v for k, v in prompt[id]["inputs"].items() if k != COUNTER}]
        for id in sorted(before | {node_id})
    }
    digest = hashlib.sha256(json.dumps(graph, sort_keys=True, default=str).encode()).hexdigest()
    return Batch(f"{node_id}:{digest}", max(counters))


def _ancestors(prompt: dict[str, Any], node_id: str) -> set[str]:
    found: set[str] = set()
    waiting = [node_id]
    while waiting:
        for value in prompt[waiting.pop()].get("inputs", {}).values():
            match value:
                case [str(id), int()] if id in prompt and id not in found:  # a link: [node, number of its output]
                    found.add(id)
                    waiting.append(id)
    return found


class CarriedStates:
    """States before and after the last batch of each stream; the longest unused stream is forgotten first."""

    def __init__(self, most: int = MOST_STREAMS):
        self.most = most
        self._streams: OrderedDict[str, tuple[int, State | None, State | None]] = OrderedDict()

    def before(self, batch: Batch) -> State | None:
        """The state to begin the batch with. The first batch begins anew; a batch that is run again begins as it did.

        Raises StudioError where the batch before it was not seen here."""
        if batch.number == 0:
            return None
        seen = self._streams.get(batch.stream)
        if seen and seen[0] == batch.number:
            return seen[1]
        if seen and seen[0] == batch.number - 1:
            return seen[2]
        last = f"the last one done here is batch {seen[0] + 1}" if seen else "none of this clip was done here before"
        raise StudioError(
            f"This is batch {batch.number + 1} of a meta batch, but {last}, so the network's memory of the frames "
            "between is missing. Queue the graph again from the first batch (and change nothing while it runs), or "
            "set carry to never."
        )

    def keep(self, batch: Batch, before: State | None, after: State | None) -> None:
        """Remembers a batch that is done."""
        self._streams[batch.stream] = (batch.number, before, after)
        self._streams.move_to_end(batch.stream)
        while len(self._streams) > self.most:
            self._streams.popitem(last=False)


CARRIED = CarriedStates()
