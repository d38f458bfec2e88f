"""A run from its plan to its findings: what is asked of the deployment, in which order.

/health first, while the app may be idle; LoRA files into the bucket; jobs through the bucket; one
job of each kind over HTTP; the comparison of GPUs last, one job at a time.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from config.errors import IdConflict
from pipeline.acceptance.acceptance_plan import PlanFile
from pipeline.acceptance.criteria.criterion import Facts, Outcome
from pipeline.acceptance.gpus import OnGpu, check_gpus, on_gpus, place
from pipeline.acceptance.http import Answer, Web
from pipeline.acceptance.jobs import (
    Forecast,
    Job,
    PricedJob,
    bucket_jobs,
    gpu_jobs,
    http_jobs,
    over,
    priced,
    spent_usd,
)
from pipeline.acceptance.precision import earlier, with_seeds
from pipeline.acceptance.upload_loras import upload
from pipeline.contract.keys import deploy_key
from pipeline.contract.result import Result
from pipeline.dispatcher.deploy_event import Deploy
from pipeline.jobs.follow import Follower
from pipeline.jobs.status import JobView, State, look_up, read_result
from pipeline.jobs.submit import submit
from pipeline.runtime import RuntimeConfig
from pipeline.store.conditional import SafeStore

LOOK_SECONDS = 1.0
"""Between two looks at the jobs."""
HTTP_SECONDS = 900.0
"""Longest that one job over HTTP is waited for."""


@dataclass
class Progress:
    """Where the jobs of a run are."""

    priced_jobs: Sequence[PricedJob]
    views: dict[str, JobView] = field(default_factory=dict)
    """Of those that are sent."""
    stopped: str | None = None
    """Why no more are sent."""

    @property
    def unsent(self) -> list[PricedJob]:
        """In the order in which they are to be sent."""
        return [each for each in self.priced_jobs if each.job.id not in self.views]

    @property
    def under_way(self) -> list[PricedJob]:
        views = self.views
        return [
            each
            for each in self.priced_jobs
            if each.job.id in views and not views[each.job.id].finished
        ]

    @property
    def spent_usd(self) -> float:
        """By jobs that are finished, with their lost attempts."""
        return spent_usd(view.result for view in self.views.values())

    @property
    def outcomes(self) -> list[Outcome]:
        return [Outcome(each.job, *self._result(each)) for each in self.priced_jobs]

    def _result(self, of: PricedJob) -> tuple[Result | None, str]:
        """Or why there is none."""
        view = self.views.get(of.job.id)
        if view is None or not view.finished:
            state = "not sent" if view is None else f"still {view.state}"
            return None, f"{state}: {self.stopped}" if self.stopped else state
        if view.result is None:
            return None, "its result cannot be read"
        if view.result.manifest_sha256 != of.prepared.sha256:
            return None, "made from another plan: give the run another name"
        return view.result, ""


@dataclass(frozen=True)
class Driver:
    """Sends jobs, so many at a time, and follows them to their ends."""

    store: SafeStore
    at_once: int
    bound_usd: float | None
    """For all that the run costs; what other parts of it spent comes in as `spent_usd`."""
    patience_s: float
    """How long nothing may happen to any job before it is given up."""
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    look_s: float = LOOK_SECONDS

    def found(self, jobs: Sequence[PricedJob]) -> Progress:
        """What an earlier run under this name has sent. Raises IdConflict if with another plan."""
        seen = look_up(self.store, [each.job.id for each in jobs])
        for each in jobs:
            result = seen[each.job.id].result
            if result is not None and result.manifest_sha256 != each.prepared.sha256:
                raise IdConflict(
                    f"{each.job.id} was made from another plan",
                    field="id",
                    value=each.job.id,
                    hint="Give this run another name with --run.",
                )
        there = {id: view for id, view in seen.items() if view.state is not State.UNKNOWN}
        return Progress(jobs, there)

    def drive(
        self,
        progress: Progress,
        send: Callable[[PricedJob], object],
        *,
        spent_usd: float = 0.0,
        on_look: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        """Until all are finished, the money is, or nothing happens any more."""
        follower = Follower(self.store, [each.job.id for each in progress.priced_jobs])
        follower.views = progress.views  # those not sent yet are nowhere to be looked for
        seen, since = "", self.monotonic()
        while True:
            self._send_some(progress, send, spent_usd)
            follower.look()
            on_look(progress)
            if not progress.under_way and (progress.stopped or not progress.unsent):
                return
            if (state := _state(progress.views)) != seen:
                seen, since = state, self.monotonic()
            if self.monotonic() - since > self.patience_s:
                progress.stopped = f"nothing happened to any job for {self.patience_s:g} s"
                return
            self.sleep(self.look_s)

    def _send_some(
        self, progress: Progress, send: Callable[[PricedJob], object], spent_usd: float
    ) -> None:
        """One that is too dear beside what is under way waits for its end."""
        for each in progress.unsent[: max(0, self.at_once - len(progress.under_way))]:
            spent, coming = spent_usd + progress.spent_usd, [*progress.under_way, each]
            refusal = over(self.bound_usd, spent, coming)
            if refusal is not None and not progress.under_way:
                progress.stopped = refusal.message
            if refusal is not None or progress.stopped:
                return
            send(each)
            progress.views[each.job.id] = JobView(each.job.id, State.WAITING)


def _state(views: Mapping[str, JobView]) -> str:
    """Another text whenever anything has happened."""
    return repr(
        [(id, view.state, view.lease.seq if view.lease else None) for id, view in views.items()]
    )


@dataclass(frozen=True)
class RunOptions:
    """What the caller of a run wants."""

    run: str
    out: Path
    """Where the page goes, and what a later start of the run must know."""
    gpus: Sequence[str] = ()
    bound_usd: float | None = None
    beside: str | None = None
    """The run whose pictures are set beside this one's, made with the same seeds."""


@dataclass(frozen=True)
class RunObserver:
    """What whoever watches is told meanwhile."""

    progress: Callable[[Progress], None] = lambda _: None
    said: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Findings:
    """What a run has come to."""

    facts: Facts
    gpus: Sequence[OnGpu] = ()
    stopped: str | None = None
    """Why not everything was sent or seen to its end."""
    beside: Mapping[str, Result] = field(default_factory=dict)
    """By the ids of jobs: what the run beside made of the same."""


@dataclass
class Run:
    """Prepare it, look at its forecast, then let it go. Started again, it goes on."""

    file: PlanFile
    options: RunOptions
    runtime: RuntimeConfig
    driver: Driver
    web: Web | None = None
    observer: RunObserver = RunObserver()
    through_bucket: Progress = field(init=False)
    on_gpus: Progress = field(init=False)
    over_http: Sequence[PricedJob] = field(init=False)
    forecast: Forecast = field(init=False)
    beside: Mapping[str, Result] = field(init=False, default_factory=dict)

    @property
    def store(self) -> SafeStore:
        return self.driver.store

    def prepare(self) -> Forecast:
        """Raises what is wrong with the plan. Nothing is sent."""
        plan, run, gpus = self.file.plan, self.options.run, self.options.gpus
        check_gpus(gpus, self.runtime)
        jobs = bucket_jobs(plan, run)
        if self.options.beside is not None:
            self.beside = earlier(self.store, jobs, run, self.options.beside)
            jobs = with_seeds(jobs, self.beside)
        self.through_bucket = self.driver.found(self._priced(jobs))
        self.on_gpus = self.driver.found(self._priced(gpu_jobs(plan, run, gpus)))
        self.over_http = self._priced(http_jobs(plan, run)) if self.web else []
        both = self.through_bucket, self.on_gpus
        count = sum(len(each.priced_jobs) for each in both) + len(self.over_http)
        unsent = [*both[0].unsent, *both[1].unsent, *self.over_http]
        coming = [*unsent, *both[0].under_way, *both[1].under_way]
        spent, bound = sum(each.spent_usd for each in both), self.options.bound_usd
        self.forecast = Forecast(count, count - len(unsent), spent, coming, bound)
        return self.forecast

    def _priced(self, jobs: Iterable[Job]) -> list[PricedJob]:
        return priced(jobs, self.file.folder, self.runtime.settings.tenant, self.runtime)

    def go(self) -> Findings:
        """Send what is not there yet, and follow it all to its end or until the money is used up.

        Call prepare() first. Raises a LoraError or InvalidInput for a LoRA that cannot be put
        there, StoreUnavailable, StoreDenied; what goes wrong with a job is among the findings.
        """
        plan, said, health = self.file.plan, self.observer.said, None
        if self.web is not None:
            said("asking /health")
            health = self.web.first_health(self.options.out, idle=plan.app_idle)
        if plan.loras is not None:
            said("putting LoRAs into the bucket")
            upload(self.store, plan.loras, self.file.folder, self.runtime.settings)
        self.driver.drive(
            self.through_bucket,
            lambda each: submit(self.store, each.prepared),
            spent_usd=self.on_gpus.spent_usd,
            on_look=self.observer.progress,
        )
        outcomes = self.through_bucket.outcomes
        answers = None if self.web is None else self._ask(self.web)
        for each, answer in zip(self.over_http, answers or (), strict=True):
            result, why = self._result(answer), answer.fault or "not in the bucket"
            outcomes.append(Outcome(each.job, result, why))
        replace(self.driver, at_once=1).drive(
            self.on_gpus,
            lambda each: place(self.store, each.prepared, each.job.subject),
            spent_usd=spent_usd(each.result for each in outcomes),
            on_look=self.observer.progress,
        )
        facts = Facts(outcomes, self.driver.at_once, health, answers, self._deploys(outcomes))
        compared = on_gpus(self.on_gpus.outcomes, self.on_gpus.priced_jobs, self.runtime.gpus)
        stopped = self.through_bucket.stopped or self.on_gpus.stopped
        return Findings(facts, compared, stopped, self.beside)

    def _ask(self, web: Web) -> list[Answer]:
        """A job of each kind over HTTP, one after the other."""
        answers: list[Answer] = []
        spent = self.through_bucket.spent_usd + self.on_gpus.spent_usd
        for each in self.over_http:
            refusal = over(self.options.bound_usd, spent, [each])
            if refusal is None:
                self.observer.said(f"POST /{each.job.model}")
                answer = web.make(each.job, self.file.folder, HTTP_SECONDS)
                spent += spent_usd([self._result(answer)])
            else:
                fault = f"not asked: {refusal.message}"
                answer = Answer(each.job.id, each.job.model, fault=fault)
            answers.append(answer)
        return answers

    def _result(self, of: Answer) -> Result | None:
        view = None if of.id is None else read_result(self.store, of.id)
        return view.result if view else None

    def _deploys(self, outcomes: Iterable[Outcome]) -> dict[str, bool]:
        results = [each.result for each in outcomes if each.result is not None]
        versions = {each.provenance.app_version for each in results if each.provenance}
        found = {version: self.store.get(deploy_key(version)) for version in sorted(versions)}
        deploys = {name: Deploy.parse(each.body) for name, each in found.items() if each}
        return {name: deploy.delivered for name, deploy in deploys.items() if deploy}
