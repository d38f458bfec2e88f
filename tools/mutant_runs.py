"""Runs tests against mutants, each in a child of a process that has collected the tests.

The interpreter, its imports and pytest's collecting take 1.5 to 3 s, most tests a few milliseconds:
so all of that is done once. A child changes the code of the functions as they are loaded, wherever
they were imported by name, and runs the tests until one fails: first what noticed a mutant of this
module last, then the quick ones.
"""

import gc
import json
import os
import signal
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FunctionType

import pytest

from tools.mutations import Mutant, path_of

OPTIONS = [
    *("-n", "0", "-s", "-x", "-qq", "--no-header", "--no-summary", "-p", "no:cacheprovider"),
    *("--timeout", "0", "--hypothesis-seed", "0"),
]
LEAST_LIMIT_S = 20
LIMIT_FACTOR = 5
"""A mutant has that many times the seconds that its tests take without it. One that goes on for
longer never ends, which is noticed too."""
NO_RUN = 2
"""The exit status of a child that could not run its tests, where 1 is that one failed."""


@dataclass(frozen=True, eq=False)
class Job:
    items: Sequence[pytest.Item]
    mutant: Mutant | None = None
    """None: the code as it is."""
    limit_s: int = 0
    """0: none."""


@dataclass(frozen=True)
class Outcome:
    seconds: Sequence[float]
    """Of each item that ended, in order; none of a child that was ended by its limit."""
    failed: bool
    """Whether the last of them failed, or the limit was reached."""


@dataclass
class Runs:
    """A plugin of pytest: in place of one run of all tests, one for each mutant."""

    mutants: Sequence[Mutant]
    tests: Mapping[str, Collection[str]]
    """By module, the files of tests that must notice."""
    at_once: int
    failing: list[str] = field(default_factory=list)
    """Files whose tests fail without any mutant. If there are, no mutant is run."""
    survivors: list[Mutant] = field(default_factory=list)

    def run(self) -> None:
        modules = {mutant.module for mutant in self.mutants}
        files = sorted({file for module in modules for file in self.tests[module]})
        code = pytest.main([*OPTIONS, *files], plugins=[self])
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            raise RuntimeError(f"pytest ended with {code!r} before any mutant was run")

    def pytest_sessionstart(self) -> None:
        """That there is a failing example is enough: none is made small, and none is kept."""
        from hypothesis import Phase, settings  # noqa: PLC0415  pytest has to import it first

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("mutants", database=None, deadline=None, phases=phases)
        settings.load_profile("mutants")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        files: dict[str, list[pytest.Item]] = {}
        for item in session.items:
            files.setdefault(item.location[0], []).append(item)
        with TemporaryDirectory() as folder:
            children = Children(session, self.at_once, Path(folder))
            seconds: dict[pytest.Item, float] = {}
            for job, outcome in children.outcomes(map(Job, files.values())):
                seconds.update(zip(job.items, outcome.seconds, strict=False))
                if outcome.failed:
                    self.failing.append(job.items[0].location[0])
            if not self.failing:
                self._run_mutants(children, files, seconds)
        return True

    def _run_mutants(
        self,
        children: "Children",
        files: Mapping[str, Sequence[pytest.Item]],
        seconds: Mapping[pytest.Item, float],
    ) -> None:
        items: dict[str, list[pytest.Item]] = {}
        for module in {mutant.module for mutant in self.mutants}:
            own = [item for file in self.tests[module] for item in files.get(file, ())]
            items[module] = sorted(own, key=seconds.__getitem__)

        def jobs() -> Iterator[Job]:
            for mutant in self.mutants:
                own = items[mutant.module]
                limit_s = LEAST_LIMIT_S + LIMIT_FACTOR * sum(seconds[item] for item in own)
                yield Job(list(own), mutant, round(limit_s))

        for job, outcome in children.outcomes(jobs()):
            assert job.mutant is not None
            if not outcome.failed:
                self.survivors.append(job.mutant)
                print(f"SURVIVED {job.mutant}", flush=True)
            elif outcome.seconds:
                own = items[job.mutant.module]
                noticed = job.items[len(outcome.seconds) - 1]
                own.remove(noticed)
                own.insert(0, noticed)


@dataclass(frozen=True)
class Children:
    session: pytest.Session
    at_once: int
    folder: Path
    """For what they write."""

    def outcomes(self, jobs: Iterator[Job]) -> Iterator[tuple[Job, Outcome]]:
        """As they end. A job is drawn when its turn has come."""
        running: dict[int, Job] = {}
        while True:
            for job in islice(jobs, self.at_once - len(running)):
                running[self._fork(job)] = job
            if not running:
                return
            child, status = os.wait()
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) == NO_RUN:
                raise RuntimeError(f"no tests were run against {running[child].mutant}")
            report = self.folder / f"{child}.json"
            seconds = json.loads(report.read_text()) if report.exists() else []
            yield running.pop(child), Outcome(seconds, failed=status != 0)

    def _fork(self, job: Job) -> int:
        child = os.fork()
        if child == 0:
            status = NO_RUN
            try:
                status = self._run(job)
            finally:
                os._exit(status)
        return child

    def _run(self, job: Job) -> int:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        own = self.folder / str(os.getpid())
        own.mkdir()
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(own)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(job.limit_s)
        if job.mutant is not None:
            load(job.mutant)
        seconds: list[float] = []
        for item, following in zip(job.items, [*job.items[1:], None], strict=True):
            began = time.perf_counter()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            seconds.append(time.perf_counter() - began)
            if self.session.testsfailed:
                break
        (self.folder / f"{os.getpid()}.json").write_text(json.dumps(seconds))
        return int(self.session.testsfailed > 0)


def load(mutant: Mutant) -> None:
    """Have the loaded functions of its module do what the mutant's do.

    What a module does while it is imported stays as it was: a mutant of that survives. Raises
    LookupError where the module was loaded from another text than its file holds now.
    """
    path = path_of(mutant.module)
    changed = _codes(path, mutant.source)
    key_of = {code: key for key, code in _codes(path, path.read_text()).items()}
    found = [
        function
        for function in gc.get_objects()
        if type(function) is FunctionType  # isinstance would ask a dead weak proxy what it was
        and function.__module__ == mutant.module
        and function.__code__.co_filename == str(path)
    ]
    if not found:
        raise LookupError(f"{mutant.module} is not loaded from {path}")
    for function in found:
        function.__code__ = changed[key_of[function.__code__]]


def _codes(path: Path, source: str) -> dict[tuple[str, int], CodeType]:
    """The code of each function, by its name and its number among those of the same name."""
    found: dict[tuple[str, int], CodeType] = {}
    waiting = [compile(source, path, "exec", dont_inherit=True)]
    while waiting:
        code = waiting.pop()
        name = code.co_qualname
        number = sum(name == other for other, _ in found)
        found[name, number] = code
        waiting += [each for each in code.co_consts if isinstance(each, CodeType)]
    return found
