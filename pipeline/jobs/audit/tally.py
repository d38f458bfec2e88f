"""The sum of an audit."""

from collections import Counter
from dataclasses import dataclass, field

from pipeline.jobs.audit.faults import Fault, FaultKind
from pipeline.jobs.audit.rules import Verdict


@dataclass
class Tally:
    """The sum of all verdicts."""

    named_most: int = 1000
    """Faults that are named; beyond, they are only counted."""
    results: Counter[str] = field(default_factory=Counter)
    """By status."""
    held: Counter[str] = field(default_factory=Counter)
    """Leases, by their state."""
    outputs: int = 0
    """Files that results name."""
    output_bytes: int = 0
    events: int = 0
    waste: int = 0
    """Objects that no result names."""
    waste_bytes: int = 0
    faults: Counter[FaultKind] = field(default_factory=Counter)
    named: list[Fault] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        if verdict.status is not None:
            self.results[verdict.status] += 1
        if verdict.state is not None:
            self.held[verdict.state] += 1
        self.outputs += verdict.outputs
        self.output_bytes += verdict.output_bytes
        self.events += len(verdict.uuids)
        self.waste += verdict.waste
        self.waste_bytes += verdict.waste_bytes
        for fault in verdict.faults:
            self.blame(fault)

    def blame(self, fault: Fault) -> None:
        self.faults[fault.kind] += 1
        if len(self.named) < self.named_most:
            self.named.append(fault)
