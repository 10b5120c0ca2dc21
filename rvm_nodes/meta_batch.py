"""Carries a node's state from one run of the graph to the next when VideoHelperSuite splits a long clip into batches.

Its Meta Batch Manager queues the same graph again for every batch, with a counter `requeue` in its inputs (absent in
the first run). A node downstream of such a manager continues with its state after the previous batch. States are kept
in this module, outside the node, because ComfyUI may create a new node object for every run.
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
    """The stream that a node works on, and the number of its batch (0, 1, ...)."""

    stream: str
    number: int


def find_batch(prompt: dict[str, Any] | None, node_id: str | None) -> Batch | None:
    """The batch of a node in the graph `prompt` (ComfyUI's PROMPT), or None if no manager is upstream of it.

    A stream is identified by the node and everything upstream of it, except the counter. So two clips are two streams,
    and so are two runs of one clip with different settings."""
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
    """States before and after the last batch of each stream. The least recently used stream is dropped first."""

    def __init__(self, most: int = MOST_STREAMS):
        self.most = most
        self._streams: OrderedDict[str, tuple[int, State | None, State | None]] = OrderedDict()

    def before(self, batch: Batch) -> State | None:
        """The state to start the batch with: None for the first batch. A batch that is run again gets the same state.

        Raises StudioError if the previous batch was not processed here."""
        if batch.number == 0:
            return None
        seen = self._streams.get(batch.stream)
        if seen and seen[0] == batch.number:
            return seen[1]
        if seen and seen[0] == batch.number - 1:
            return seen[2]
        last = (
            f"the last one processed was batch {seen[0] + 1}" if seen else "no earlier batch of this clip was processed"
        )
        raise StudioError(
            f"This is batch {batch.number + 1} of a meta batch, but {last}, so the network's memory of the previous "
            "frames is missing. Queue the graph again from the first batch and change nothing while it runs, or set "
            "carry to never."
        )

    def keep(self, batch: Batch, before: State | None, after: State | None) -> None:
        """Stores the states of a processed batch."""
        self._streams[batch.stream] = (batch.number, before, after)
        self._streams.move_to_end(batch.stream)
        while len(self._streams) > self.most:
            self._streams.popitem(last=False)


CARRIED = CarriedStates()
