"""Changes each condition of the queue's decisions, one at a time, and runs the tests against it.

A mutant that no test notices is printed with its place and its diff, and the exit code is 1: then a
test is missing, or the condition can go.

    python -m tools.mutants [MODULE...] [--jobs N]
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Sequence

from tools.mutant_runs import Runs
from tools.mutations import ROOT, Mutant, mutants_of

QUEUE = "tests/pipeline/queue/test_"
NOTIFY = "tests/pipeline/notify/test_"
EXHAUSTIVE = f"{QUEUE}exhaustive.py"
TESTS = {
    "pipeline.queue.admission": [f"{QUEUE}admission.py"],
    "pipeline.queue.backlog": [f"{QUEUE}backlog.py"],
    "pipeline.queue.bounds": [f"{QUEUE}bounds.py"],
    "pipeline.queue.budgets": [f"{QUEUE}budgets.py"],
    "pipeline.queue.expiry": [f"{QUEUE}expiry.py", EXHAUSTIVE],
    "pipeline.queue.platforms": [f"{QUEUE}platforms.py"],
    "pipeline.queue.retries": [f"{QUEUE}retries.py"],
    "pipeline.queue.protocol": [f"{QUEUE}claim_steps.py"],
    "pipeline.queue.claim": [f"{QUEUE}claim.py", EXHAUSTIVE],
    "pipeline.queue.claim_steps": [f"{QUEUE}claim_steps.py", EXHAUSTIVE],
    "pipeline.queue.start_steps": [f"{QUEUE}start_steps.py", EXHAUSTIVE],
    "pipeline.queue.cancel_steps": [f"{QUEUE}cancel_steps.py", EXHAUSTIVE],
    "pipeline.queue.spend_reader": [f"{QUEUE}spend_reader.py"],
    "pipeline.queue.spend_parts": [f"{QUEUE}spend_parts.py"],
    "pipeline.queue.ended_costs": [f"{QUEUE}spend_parts.py", f"{QUEUE}budgets.py"],
    "pipeline.queue.stops": [f"{QUEUE}stops.py"],
    "pipeline.queue.spawn": [f"{QUEUE}spawn.py"],
    "pipeline.dispatcher.gate": ["tests/pipeline/dispatcher/test_gate.py"],
    "pipeline.dispatcher.budget_alarms": ["tests/pipeline/dispatcher/test_budget_alarms.py"],
    "pipeline.dispatcher.owed_alarms": ["tests/pipeline/dispatcher/test_owed_alarms.py"],
    "pipeline.jobs.hold_ups": ["tests/pipeline/jobs/test_hold_ups.py"],
    "pipeline.queue.lease_cache": [f"{QUEUE}lease_cache.py"],
    "pipeline.queue.runner": [f"{QUEUE}runner.py"],
    "pipeline.notify.delivery": [
        *(f"{NOTIFY}delivery_answers.py", f"{NOTIFY}delivery.py", f"{NOTIFY}callbacks.py"),
    ],
    "pipeline.store.conditional": ["tests/pipeline/store/test_conditional.py"],
    "handlers.character_sheet.steps": ["tests/handlers/character_sheet/test_steps.py"],
    "pipeline.dispatcher.time_slice": ["tests/pipeline/dispatcher/test_time_slice.py"],
    "pipeline.dispatcher.preflight": [
        "tests/pipeline/dispatcher/test_preflight.py",
        "tests/pipeline/dispatcher/test_preflight_sheet.py",
    ],
    "system.backoff": ["tests/system/test_backoff.py"],
}
"""By module, the tests that must notice."""

BACKLOG = "pipeline.queue.backlog"
EQUIVALENT = {
    (
        BACKLOG,
        "if key > self._after and (last is None or (key < last)) and key not in listed",
    ): "the last key of a page is listed on it",
    (
        BACKLOG,
        "route = ((job.model is not None), self.order.route_of(job.model))",
    ): "two labels change places",
    (
        "pipeline.queue.spend_reader",
        "if day is not None or (after >= NO_DAY):",
    ): "nothing has that key, which only divides days from all else",
    (
        BACKLOG,
        "if self.empty_from is None or (key <= self.empty_from):",
    ): "only a key that was drawn before is that bound: its four last characters are random",
    (
        "pipeline.jobs.hold_ups",
        "{id: each for id, each in counted.items() if (True)},",
    ): "nothing is reserved for None; the condition is for mypy",
}
"""(module, the changed line) of mutants that behave like the original, with the reason."""


def chosen(modules: Iterable[str]) -> list[Mutant]:
    """The mutants of these modules but for those that are known to change nothing."""
    return [
        mutant
        for module in modules
        for mutant in mutants_of(module)
        if (module, mutant.after.strip()) not in EQUIVALENT
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Mutation tests of the queue's decisions.")
    parser.add_argument("modules", nargs="*", help=f"of {', '.join(TESTS)}; all if none is named")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    os.chdir(ROOT)
    mutants = chosen(options.modules or TESTS)
    runs = Runs(mutants, TESTS, options.jobs)
    runs.run()
    if runs.failing:
        print(f"these tests fail without any change: {' '.join(runs.failing)}")
        return 1
    survived = len(runs.survivors)
    print(
        f"{len(mutants)} mutants, {len(mutants) - survived} noticed, {survived} survived,"
        f" {len(EQUIVALENT)} left out as equivalent; {time.monotonic() - began:.0f} s"
    )
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
