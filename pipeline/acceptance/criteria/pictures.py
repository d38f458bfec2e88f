"""Criteria of what was made: Flux Dev, LoRAs, faces. Pure."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from events.catalogue import LoraLoaded
from handlers.character_sheet.trainable import WORST_MATCH
from pipeline.acceptance.acceptance_plan import BASES, TARGETS
from pipeline.acceptance.criteria.criterion import (
    Criterion,
    Facts,
    Outcome,
    Verdict,
    faults,
    ids,
    not_run,
    pictures,
    several,
    unfinished,
)
from pipeline.acceptance.jobs import Stage
from pipeline.contract.result import OutputFace
from pipeline.report.metric_text import figure
from pipeline.report.targets import MATCH, Metric, Unit

PICTURES = 10
"""Of Flux Dev, that the requirements ask for."""
LORAS = 5
"""That the requirements ask for."""


def picture_criteria(facts: Facts) -> Iterator[Criterion]:
    yield flux(facts)
    yield loras(facts)
    for target in TARGETS:
        yield faces(facts, target)
    for base in BASES:
        yield sheet(facts, base)


def flux(facts: Facts) -> Criterion:
    name, target = "Flux Dev pictures", f"{PICTURES} or more, 100 % made"
    outcomes = facts.of(Stage.FLUX)
    if not outcomes:
        return not_run(name, target, "the plan has no [flux]")
    done = sum(each.succeeded for each in outcomes)
    verdict, why = _of_jobs(outcomes)
    if verdict is Verdict.PASS and done < PICTURES:
        verdict, why = Verdict.NOT_RUN, f"{done} pictures are too few to tell"
    return Criterion(
        name,
        target,
        verdict,
        f"{done} of {len(outcomes)}",
        done / len(outcomes),
        why,
        jobs=ids(outcomes),
        keys=pictures(outcomes),
    )


def loras(facts: Facts) -> Criterion:
    name, target = "LoRAs", f"{LORAS} or more, 100 % loaded"
    outcomes = facts.of(Stage.LORA)
    if not outcomes:
        return not_run(name, target, "the plan has no [loras]")
    wanted = {each.job.subject for each in outcomes}
    loaded = {each.job.subject for each in outcomes if each.succeeded and _loads(each)}
    failed = wanted - loaded
    verdict, why = _of_jobs(outcomes)
    if failed and verdict is Verdict.PASS:
        verdict = Verdict.FAIL
        why = f"nothing tells that it was loaded: {several(sorted(failed))}"
    used = [each.result.provenance for each in outcomes if each.result]
    files = {each.lora.key: each.lora.sha256 for each in used if each and each.lora}
    different = len(set(files.values()))
    if verdict is Verdict.PASS and different < LORAS:
        verdict, why = Verdict.NOT_RUN, f"{different} different LoRAs are too few to tell"
    return Criterion(
        name,
        target,
        verdict,
        f"{len(loaded)} of {len(wanted)}",
        len(loaded) / len(wanted),
        why,
        parts=[("loads", str(sum(map(_loads, outcomes))))],
        jobs=ids(outcomes),
        keys=[*pictures(outcomes), *files],
    )


def faces(facts: Facts, of: str) -> Criterion:
    name, target = f"Faces, {of}", f"match of at least {MATCH} to the reference, on average"
    outcomes = facts.of(Stage.FACE, of)
    if not outcomes:
        return not_run(name, target, "the plan does not ask for it in [faces]")
    outputs = [output for each in outcomes if each.result for output in each.result.outputs]
    measured = [output.face for output in outputs if output.face is not None]
    matches = [face.match for face in measured if face.match is not None]
    mean = fmean(matches) if matches else None
    faceless = [each.face_reason for each in outputs if each.face is None and each.face_reason]
    verdict, why = _of_jobs(outcomes)
    if verdict is Verdict.PASS:
        verdict, why = _of_faces(measured, faceless, mean)
    return Criterion(
        name,
        target,
        verdict,
        figure(Metric(name, Unit.MATCH, mean, len(matches), "faces")),
        mean,
        why,
        parts=[*_similarity(measured), ("pictures", str(len(outputs)))],
        jobs=ids(outcomes),
        keys=pictures(outcomes),
        measured=True,
    )


def sheet(facts: Facts, base: str) -> Criterion:
    """Whether InstantID serves for character sheets on this base, as the requirements ask."""
    name = f"Character sheet, on {base}"
    target = f"match of at least {MATCH} on average and {WORST_MATCH} in the worst view"
    outcomes = facts.of(Stage.SHEET, base)
    if not outcomes:
        return not_run(name, target, "the plan does not ask for it in [sheets]")
    views = [output for each in outcomes if each.result for output in each.result.outputs]
    matches = {
        output.view.id: match
        for output in views
        if output.view is not None
        and output.face is not None
        and (match := output.face.counted_match) is not None
    }
    mean = fmean(matches.values()) if matches else None
    worst = min(matches, key=lambda id: matches[id], default="")
    verdict, why = _of_jobs(outcomes)
    if verdict is Verdict.PASS:
        verdict, why = _of_sheet(mean, worst, matches.get(worst, 0.0))
    missing = [each for one in outcomes if one.result for each in one.result.missing]
    return Criterion(
        name,
        target,
        verdict,
        figure(Metric(name, Unit.MATCH, mean, len(matches), "faces")),
        mean,
        why,
        parts=[
            *([("worst view", f"{worst}, {matches[worst]:.3f}")] if worst else []),
            ("views", f"{len(views)} of {len(views) + len(missing)}"),
            *((f"missing: {view.id}", view.reason) for view in missing),
        ],
        jobs=ids(outcomes),
        keys=pictures(outcomes),
        measured=True,
    )


def _of_sheet(mean: float | None, worst: str, least: float) -> tuple[Verdict, str]:
    if mean is None:
        return Verdict.NOT_RUN, "no match was measured"
    if mean < MATCH:
        return Verdict.FAIL, f"the mean is below it, the least is {least:.3f} of {worst}"
    if least < WORST_MATCH:
        return Verdict.FAIL, f"{worst} has {least:.3f}"
    return Verdict.PASS, ""


def _of_jobs(outcomes: Sequence[Outcome]) -> tuple[Verdict, str]:
    if why := faults(outcomes):
        return Verdict.FAIL, why
    if why := unfinished(outcomes):
        return Verdict.NOT_RUN, why
    return Verdict.PASS, ""


def _of_faces(
    measured: Sequence[OutputFace], faceless: Sequence[str], mean: float | None
) -> tuple[Verdict, str]:
    lost = [reason for reason in faceless if reason == "no_face"]
    if lost:
        return Verdict.FAIL, f"{len(lost)} pictures show no face"
    if mean is None:
        reasons = [*faceless, *(face.reason for face in measured if face.reason)]
        return Verdict.NOT_RUN, f"no match was measured: {several(reasons) or 'no face is told of'}"
    least = min(face.match for face in measured if face.match is not None)
    if mean < MATCH:
        return Verdict.FAIL, f"the mean is below it, the least is {least:.3f}"
    return Verdict.PASS, ""


def _similarity(measured: Sequence[OutputFace]) -> Iterator[tuple[str, str]]:
    if measured:
        similar = [face.similarity for face in measured]
        yield "similarity, mean", f"{fmean(similar):.3f}"
        yield "similarity, least", f"{min(similar):.3f}"
        yield "embedder", ", ".join(sorted({face.embedder for face in measured}))


def _loads(outcome: Outcome) -> int:
    names = [event.event for event in outcome.result.events] if outcome.result else []
    return names.count(LoraLoaded.pattern)
