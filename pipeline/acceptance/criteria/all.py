"""Every criterion of the requirements, judged by what a run has seen. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipeline.acceptance.criteria.criterion import Criterion, Facts, Verdict
from pipeline.acceptance.criteria.deployment import deployment_criteria
from pipeline.acceptance.criteria.figures import figure_criteria
from pipeline.acceptance.criteria.pictures import picture_criteria

STANDIN_MADE = "made by the stand-in"


def evaluate(facts: Facts) -> list[Criterion]:
    criteria = [*picture_criteria(facts), *figure_criteria(facts), *deployment_criteria(facts)]
    return [as_standin(each) for each in criteria] if facts.standin else criteria


def as_standin(criterion: Criterion) -> Criterion:
    """The stand-in shows nothing of quality, seconds or dollars; that a job broke, it does show."""
    passed = criterion.verdict is Verdict.PASS
    if passed or (criterion.measured and criterion.verdict is Verdict.FAIL):
        why = f"{STANDIN_MADE}; {criterion.why}" if criterion.why else STANDIN_MADE
        return replace(criterion, verdict=Verdict.NO_EVIDENCE, why=why)
    return criterion


def ok(criteria: Iterable[Criterion]) -> bool:
    """Whether nothing failed."""
    return all(each.verdict is not Verdict.FAIL for each in criteria)


def counted(criteria: Sequence[Criterion]) -> dict[Verdict, int]:
    return {verdict: sum(each.verdict is verdict for each in criteria) for verdict in Verdict}
