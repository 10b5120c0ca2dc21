"""How tests wait: for an event, never for a time. A slow or busy machine makes a test slow, not wrong."""

import time

PATIENCE = 600.0  # seconds: only a program that hangs is waited for this long


def wait_for(condition, what="it", *, tells=lambda: "", pause=0.002):
    """What `condition()` returns once that is true. tells(): what to add to the failure when it never is. pause:
    seconds between two looks."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {PATIENCE:.0f} s for {what} in vain. {tells()}"
        time.sleep(pause)
    return found
