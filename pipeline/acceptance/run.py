"""A run from its plan to its findings: what is asked of the deployment, in which order.

/health first, while the app may be idle; LoRA files into the bucket; jobs through the bucket; one
job of each kind over HTTP; the comparison of GPUs last, one job at a time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.errors import InvalidInput, InvalidSetting
from config.tables import NO_GPU
from pipeline.acceptance.criteria.criterion import Facts, Outcome
from pipeline.acceptance.criteria.gpus import OnGpu, on_gpus
from pipeline.acceptance.driver import Driver, Progress
from pipeline.acceptance.estimate import PricedJob, expected_usd, over, ready, require_known
from pipeline.acceptance.http import Answer, Health, Web
from pipeline.acceptance.jobs import Job, gpu_jobs, http_jobs, jobs_of
from pipeline.acceptance.on_gpu import place
from pipeline.acceptance.plan import PlanFile
from pipeline.acceptance.upload_loras import upload
from pipeline.contract.keys import deploy_key
from pipeline.contract.result import Result
from pipeline.dispatcher.deploy_event import Deploy
from pipeline.jobs.status import read_result
from pipeline.jobs.submit import submit
from pipeline.runtime import RuntimeConfig
from pipeline.store.conditional import SafeStore

HTTP_SECONDS = 900.0
"""Longest that one job over HTTP is waited for."""


@dataclass(frozen=True)
class RunOptions:
    """What the caller of a run wants."""

    run: str
    out: Path
    """Where the page goes, and what a later start of the run must know."""
    gpus: Sequence[str] = ()
    bound_usd: float | None = None


@dataclass(frozen=True)
class RunObserver:
    """What whoever watches is told meanwhile."""

    progress: Callable[[Progress], None] = lambda _: None
    said: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Forecast:
    """Before anything is sent."""

    jobs: int
    there: int
    """Sent by an earlier start of this run."""
    spent_usd: float
    coming: Sequence[PricedJob]
    """To be paid yet: not sent, or on their way."""
    bound_usd: float | None

    @property
    def expected_usd(self) -> float:
        """On warm GPUs, of the jobs whose cost can be told."""
        return expected_usd(self.coming)

    @property
    def untold(self) -> int:
        """Jobs whose cost nobody can tell."""
        return sum(priced.usd is None for priced in self.coming)

    @property
    def gpus(self) -> list[str]:
        """That the estimate is for."""
        return list(dict.fromkeys(priced.gpu for priced in self.coming))

    def require_affordable(self) -> None:
        """Raises OverBudget."""
        require_known(self.coming, self.bound_usd)
        refusal = over(self.bound_usd, self.spent_usd, self.coming)
        if refusal is not None:
            raise refusal

    def document(self) -> dict[str, Any]:
        return {
            "jobs": self.jobs,
            "there": self.there,
            "spent_usd": round(self.spent_usd, 6),
            "expected_usd": round(self.expected_usd, 6),
            "untold": self.untold,
            "gpus": self.gpus,
            "max_cost_usd": self.bound_usd,
        }


@dataclass(frozen=True)
class Findings:
    """What a run has come to."""

    facts: Facts
    gpus: Sequence[OnGpu] = ()
    stopped: str | None = None
    """Why not everything was sent or seen to its end."""


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

    def prepare(self) -> Forecast:
        """Raises what is wrong with the plan. Nothing is sent."""
        plan, run, gpus = self.file.plan, self.options.run, self.options.gpus
        check_gpus(gpus, self.runtime)
        jobs = self._ready(jobs_of(plan, run)), self._ready(gpu_jobs(plan, run, gpus))
        self.through_bucket, self.on_gpus = map(self.driver.found, jobs)
        self.over_http = self._ready(http_jobs(plan, run)) if self.web else []
        sent_on = self.through_bucket, self.on_gpus
        unsent = [*(priced for each in sent_on for priced in each.unsent), *self.over_http]
        priced_jobs = len(jobs[0]) + len(jobs[1]) + len(self.over_http)
        coming = [*unsent, *(priced for each in sent_on for priced in each.under_way)]
        self.forecast = Forecast(
            priced_jobs, priced_jobs - len(unsent), self._spent(), coming, self.options.bound_usd
        )
        return self.forecast

    def go(self) -> Findings:
        plan, health = self.file.plan, None
        if self.web is not None:
            self.observer.said("asking /health")
            health = first_health(self.web, self.options.out, idle=plan.app_idle)
        if plan.loras is not None:
            self.observer.said("putting LoRAs into the bucket")
            upload(self.store, plan.loras, self.file.folder, self.runtime.settings)
        self.driver.drive(
            self.through_bucket,
            self._submit,
            spent_usd=self.on_gpus.spent_usd,
            on_look=self.observer.progress,
        )
        outcomes = outcomes_of(self.through_bucket)
        answers = None if self.web is None else self._ask(self.web)
        outcomes += [self._asked(priced, answer) for priced, answer in answers or ()]
        compared = self._compare(sum(_usd(each.result) for each in outcomes))
        facts = Facts(
            outcomes,
            self.driver.at_once,
            health,
            None if answers is None else [answer for _, answer in answers],
            self._deploys(outcomes),
        )
        rows = on_gpus(compared, self.on_gpus.priced_jobs, self.runtime.gpus)
        return Findings(facts, rows, self.through_bucket.stopped or self.on_gpus.stopped)

    @property
    def store(self) -> SafeStore:
        return self.driver.store

    def _ready(self, jobs: Iterable[Job]) -> list[PricedJob]:
        return ready(jobs, self.file.folder, self.runtime.settings.tenant, self.runtime)

    def _spent(self) -> float:
        return self.through_bucket.spent_usd + self.on_gpus.spent_usd

    def _submit(self, priced: PricedJob) -> None:
        submit(self.store, priced.prepared)

    def _ask(self, web: Web) -> list[tuple[PricedJob, Answer]]:
        """A job of each kind over HTTP, one after the other."""
        found: list[tuple[PricedJob, Answer]] = []
        spent = self._spent()
        for priced in self.over_http:
            refusal = over(self.options.bound_usd, spent, [priced])
            if refusal is not None:
                fault = f"not asked: {refusal.message}"
                found.append((priced, Answer(priced.job.id, priced.job.model, fault=fault)))
                continue
            self.observer.said(f"POST /{priced.job.model}")
            answer = web.make(priced.job, self.file.folder, HTTP_SECONDS)
            spent += _usd(self._result(answer.id))
            found.append((priced, answer))
        return found

    def _asked(self, priced: PricedJob, answer: Answer) -> Outcome:
        return Outcome(priced.job, self._result(answer.id), answer.fault or "not in the bucket")

    def _result(self, id: str | None) -> Result | None:
        view = None if id is None else read_result(self.store, id)
        return view.result if view else None

    def _compare(self, spent_usd: float) -> list[Outcome]:
        one_by_one = self.driver.slowed()
        gpus = {priced.job.id: priced.job.subject for priced in self.on_gpus.priced_jobs}
        if gpus:
            one_by_one.drive(
                self.on_gpus,
                lambda priced: place(self.store, priced.prepared, gpus[priced.job.id]),
                spent_usd=spent_usd,
                on_look=self.observer.progress,
            )
        return outcomes_of(self.on_gpus)

    def _deploys(self, outcomes: Iterable[Outcome]) -> dict[str, bool]:
        results = [each.result for each in outcomes if each.result is not None]
        versions = {each.provenance.app_version for each in results if each.provenance}
        found = {version: self.store.get(deploy_key(version)) for version in sorted(versions)}
        deploys = {name: Deploy.parse(each.body) for name, each in found.items() if each}
        return {name: deploy.delivered for name, deploy in deploys.items() if deploy}


def check_gpus(gpus: Sequence[str], runtime: RuntimeConfig) -> None:
    """Raises InvalidSetting for a GPU of no row, InvalidInput where none can be chosen."""
    if not gpus:
        return
    if not runtime.deployed:
        raise InvalidInput(
            "GPUs cannot be chosen here: the local engine takes the machine as it is",
            field="--gpus",
            value=",".join(gpus),
            hint="Where the Modal app serves this bucket, set RYLA_ENGINE=modal.",
        )
    for name in gpus:
        try:
            row = runtime.gpus.gpu(name)
        except InvalidSetting as error:
            error.field = "--gpus"
            raise
        if row.name == NO_GPU:
            raise InvalidInput(f"{name!r} is no GPU", field="--gpus", value=name)


def outcomes_of(progress: Progress) -> list[Outcome]:
    return [_outcome(priced, progress) for priced in progress.priced_jobs]


def _outcome(priced: PricedJob, progress: Progress) -> Outcome:
    view = progress.views.get(priced.job.id)
    if view is None or not view.finished:
        state = "not sent" if view is None else f"still {view.state}"
        return Outcome(
            priced.job, None, f"{state}: {progress.stopped}" if progress.stopped else state
        )
    if view.result is None:
        return Outcome(priced.job, None, "its result cannot be read")
    if view.result.manifest_sha256 != priced.prepared.sha256:
        return Outcome(priced.job, None, "made from another plan: give the run another name")
    return Outcome(priced.job, view.result)


def _usd(result: Result | None) -> float:
    return result.cost.total_usd if result is not None and result.cost is not None else 0.0


FILE = "health.json"


def first_health(web: Web, folder: Path, *, idle: bool) -> Health:
    """Measured now, unless an earlier start of this run did: then the app is not idle any more."""
    file, url = folder / FILE, str(web.client.base_url)
    if file.exists():
        try:
            kept = Health.model_validate_json(file.read_bytes())
        except ValidationError:
            kept = None
        if kept is not None and kept.url == url:
            return kept
        idle = False  # who asked before, nobody can tell
    measured = web.health(idle=idle)
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(measured.model_dump_json(indent=1))
    return measured
