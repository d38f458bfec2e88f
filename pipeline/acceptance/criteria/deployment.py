"""Criteria of the deployment itself: events, HTTP, containers. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from config.platforms import MODAL
from events.catalogue import Event, LoraLoaded, ModelLoaded
from events.moments import Moment, event_for
from handlers.kinds.registry import KINDS
from pipeline.acceptance.criteria.criterion import (
    Criterion,
    Facts,
    Outcome,
    Verdict,
    ids,
    not_run,
    pictures,
    several,
    unfinished,
)
from pipeline.acceptance.jobs import Stage
from pipeline.contract.keys import deploy_key, result_key
from pipeline.contract.result import Result, Status
from pipeline.models.loads import Source

HEALTH = 10.0
"""Seconds that the first answer of an idle app must stay below."""


def deployment_criteria(facts: Facts) -> Iterator[Criterion]:
    """`/health`, HTTP, a second container, events, the event of the deploy: in this order."""
    yield health(facts)
    yield http(facts)
    yield containers(facts)
    yield events(facts)
    yield deployed(facts)


def health(facts: Facts) -> Criterion:
    """Fails for no answer, one that is not 200, or one after HEALTH; counts as not run unless the
    plan says that the app was idle."""
    name, target = "/health, cold", f"less than {HEALTH:g} s on an idle app"
    seen = facts.health
    if seen is None:
        return not_run(name, target, "no --url was given")
    figure, parts = f"{seen.seconds:.2f} s", [("at", f"{seen.at:%Y-%m-%d %H:%M:%S} UTC")]
    if not seen.healthy:
        verdict, why = Verdict.FAIL, f"it answered {seen.status or 'nothing'}: {seen.told}"
    elif not seen.idle:
        verdict = Verdict.NOT_RUN
        why = "nobody says that the app was idle (app_idle in the plan), so it may have been warm"
    elif seen.seconds >= HEALTH:
        verdict, why = Verdict.FAIL, "slower than that"
    else:
        verdict, why = Verdict.PASS, ""
    return Criterion(name, target, verdict, figure, seen.seconds, why, parts, measured=True)


def http(facts: Facts) -> Criterion:
    """Fails for a job that was not taken, was answered wrongly, or has no result in the bucket."""
    name, target = "HTTP", "each kind takes a job and gives back its picture"
    if facts.answers is None:
        return not_run(name, target, "no --url was given")
    found = {each.job.id for each in facts.of(Stage.HTTP) if each.result is not None}
    wrong = [f"{each.kind}: {each.fault}" for each in facts.answers if each.fault]
    wrong += [
        f"{each.kind}: its result is not in the bucket of the settings"
        for each in facts.answers
        if not each.fault and each.key not in found
    ]
    return Criterion(
        name,
        target,
        Verdict.FAIL if wrong else Verdict.PASS,
        f"{len(facts.answers) - len(wrong)} of {len(facts.answers)}",
        why=several(wrong),
        parts=[(each.kind, f"{each.seconds:.1f} s") for each in facts.answers],
        jobs=ids(facts.of(Stage.HTTP)),
        keys=pictures(facts.of(Stage.HTTP)),
        # A job that was taken, and could not be made, is no fault of HTTP's.
        measured=all(each.status for each in facts.answers if each.fault),
    )


def containers(facts: Facts) -> Criterion:
    name, target = "Second container", "starts without downloading anything"
    if facts.engines - {MODAL} or not facts.engines:
        where = several(sorted(facts.engines)) or "nothing"
        return not_run(name, target, f"{where} ran the jobs: no volume is shared between machines")
    born = cold_starts(facts.results)
    routes = Counter(map(_route, born))
    twice = [each for each in born if routes[_route(each)] > 1]
    if not twice:
        return not_run(
            name,
            target,
            f"no route started two containers with {facts.at_once} jobs at once: raise at_once",
        )
    verdict, why = _downloads(twice, facts.results)
    return Criterion(
        name,
        target,
        verdict,
        f"{len(twice)} containers",
        len(twice),
        why,
        parts=[(f"{_route(each)}, {each.id}", _start(each)) for each in twice],
        jobs=[each.id for each in twice],
        keys=[result_key(each.id) for each in twice],
        measured=True,
    )


def cold_starts(results: Sequence[Result]) -> list[Result]:
    """The first job of each container: it waits for the start, and no other does."""
    return [
        each
        for each in results
        if each.metrics is not None and each.metrics.cold and each.model in KINDS
    ]


def _route(result: Result) -> str:
    return KINDS[result.model or ""].route


def _start(result: Result) -> str:
    metrics = result.metrics
    parts = metrics.cold_parts if metrics else None
    if metrics is None or parts is None:
        return result.id
    return (
        f"{metrics.start:.1f} s: container {parts.container:.1f}, imports {parts.imports:.1f},"
        f" ComfyUI {parts.comfyui:.1f}; then weights {parts.weights:.1f},"
        f" first step {parts.first_step:.1f}"
    )


def _downloads(born: Sequence[Result], results: Sequence[Result]) -> tuple[Verdict, str]:
    loads = {each.id: _told(each, ModelLoaded, "model_name", "source") for each in born}
    silent = [id for id, loaded in loads.items() if not loaded]
    other = [
        f"{model} from {source} in {id}"
        for id, loaded in loads.items()
        for model, source in loaded
        if source not in (Source.VOLUME, Source.CACHE)
    ]
    loras = [lora for each in results for lora in _told(each, LoraLoaded, "sha256", "cached")]
    pulled = Counter(sha256 for sha256, cached in loras if not cached)
    again = sorted({sha256[:12] for sha256, times in pulled.items() if times > 1})
    if other:
        return Verdict.FAIL, f"weights were not on the volume: {several(other)}"
    if again:
        return Verdict.FAIL, f"LoRAs were pulled more than once: {several(again)}"
    if silent:
        return Verdict.NOT_RUN, f"no event tells where weights came from: {several(silent)}"
    return Verdict.PASS, ""


def _told(result: Result, event: type[Event], *names: str) -> list[list[Any]]:
    """Those properties of each event of a kind."""
    found = [each.properties for each in result.events if each.event == event.pattern]
    return [[properties[name] for name in names] for properties in found]


def events(facts: Facts) -> Criterion:
    name, target = "Events", "each job has its requested and its end, LoRA and face events too"
    ended = [each for each in facts.outcomes if each.result is not None]
    if not ended:
        return not_run(name, target, "no job has ended")
    lacking = {each.job.id: missing for each in ended if (missing := _missing(each))}
    verdict = Verdict.FAIL if lacking else Verdict.PASS
    why = several([f"{id} has no {' and no '.join(names)}" for id, names in lacking.items()])
    if not lacking and (left := unfinished(facts.outcomes)):
        verdict, why = Verdict.NOT_RUN, left
    return Criterion(
        name,
        target,
        verdict,
        f"{len(ended) - len(lacking)} of {len(ended)} jobs",
        1 - len(lacking) / len(ended),
        why,
        parts=[("events", str(sum(len(each.result.events) for each in ended if each.result)))],
        jobs=list(lacking),
    )


def _missing(outcome: Outcome) -> list[str]:
    result = outcome.result
    assert result is not None
    refused = result.status is Status.REJECTED
    moments = [Moment.ADOPTED, Moment.REFUSED if refused else Moment(result.status)]
    if outcome.succeeded and outcome.job.model == "flux-lora":
        moments.append(Moment.LORA_LOADED)
    if outcome.succeeded and outcome.job.model.endswith("-instantid"):
        moments.append(Moment.FACE_MEASURED)
    kinds = [event_for(moment, outcome.job.model) for moment in moments]
    names = [kind.name_for(outcome.job.model) for kind in kinds if kind is not None]
    return [name for name in names if name not in {event.event for event in result.events}]


def deployed(facts: Facts) -> Criterion:
    name, target = "Deployment told", "modal_app_deployed has arrived, once for each version"
    if MODAL not in facts.engines:
        return not_run(name, target, "no job ran on Modal")
    ran = {each.provenance.app_version for each in facts.results if each.provenance}
    untold = sorted(version for version in ran if not facts.deploys.get(version))
    return Criterion(
        name,
        target,
        Verdict.FAIL if untold else Verdict.PASS,
        f"{len(ran) - len(untold)} of {len(ran)} versions",
        why=f"not told, or not known to have arrived: {several(untold)}" if untold else "",
        keys=[deploy_key(version) for version in sorted(ran)],
    )
