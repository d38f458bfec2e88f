"""Failures that a prompt orders, for tests of what must survive them.

`[[fault:NAME]]`, `[[fault:NAME=VALUE]]`, and with `@N` behind it only in graphs that save under
an `aN/` folder, that is in attempt N of a job:

    error           the sampler raises
    oom             the sampler runs out of memory
    die             the process ends as by SIGKILL
    hang            the sampler never ends, and does not hear an interrupt
    slow=SECONDS    the sampler takes that much longer
    drop-output     the prompt succeeds without outputs
    garbage-output  the saved file is no picture
    wrong-view      the head is turned otherwise than asked; with =SEED by that seed alone

The last one harms nothing: it is heard whether or not faults are allowed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    ERROR = "error"
    OOM = "oom"
    DIE = "die"
    HANG = "hang"
    SLOW = "slow"
    DROP_OUTPUT = "drop-output"
    GARBAGE_OUTPUT = "garbage-output"
    WRONG_VIEW = "wrong-view"


HARMLESS = {Fault.WRONG_VIEW}
_DIRECTIVE = re.compile(r"\[\[fault:([a-z-]+)(?:=([0-9.]+))?(?:@([0-9]+))?\]\]")


@dataclass(frozen=True)
class Faults:
    """What one prompt has ordered: fault -> its value."""

    ordered: Mapping[Fault, float]

    def __contains__(self, fault: Fault) -> bool:
        return fault in self.ordered

    @property
    def extra_seconds(self) -> float:
        return self.ordered.get(Fault.SLOW, 0.0)

    def turn_wrong(self, seed: int) -> bool:
        """Whether a picture of this seed is to show the head turned otherwise than asked."""
        return self.ordered.get(Fault.WRONG_VIEW, -1) in (0, seed)


def read(graph: Mapping[str, Any], *, allowed: bool = True) -> Faults:
    """The faults ordered in any text of the graph; without being allowed, the harmless ones.

    Raises ValueError for an unknown one.
    """
    texts = [value for node in graph.values() for value in node["inputs"].values()]
    prefixes = [str(node["inputs"].get("filename_prefix", "")) for node in graph.values()]
    ordered: dict[Fault, float] = {}
    for text in texts:
        if not isinstance(text, str):
            continue
        for name, value, attempt in _DIRECTIVE.findall(text):
            if not allowed and name not in HARMLESS:
                continue
            if not attempt or any(f"/a{attempt}/" in prefix for prefix in prefixes):
                ordered[Fault(name)] = float(value or 0)
    return Faults(ordered)
