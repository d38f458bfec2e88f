"""Criteria of seconds, dollars and success, as `ryla report` defines them. Pure."""

from collections.abc import Iterator, Mapping

from pipeline.acceptance.criteria.criterion import Criterion, Facts, Verdict, not_run, several
from pipeline.contract.result import Result, Status
from pipeline.pages.formats import percent, seconds, usd
from pipeline.report.money import NOBODY
from pipeline.report.series import Series
from pipeline.report.targets import SECONDS, SUCCESS, USD, Tally
from pipeline.report.totals import Account


def figure_criteria(facts: Facts) -> Iterator[Criterion]:
    account, kinds = _account(facts.results), _by_kind(facts.results)
    yield making(account.tally, kinds)
    yield response(account.tally, kinds)
    yield cost(account, kinds)
    yield success(account.tally, facts)


def making(tally: Tally, kinds: Mapping[str, Tally]) -> Criterion:
    parts = [("p95", seconds(tally.making.percentile(95)))]
    return _seconds(
        "Seconds a picture",
        "execution started to picture stored",
        tally.making,
        {kind: each.making for kind, each in kinds.items()},
        parts,
    )


def response(tally: Tally, kinds: Mapping[str, Tally]) -> Criterion:
    parts = [
        ("p95", seconds(tally.response.percentile(95))),
        ("of it waiting", percent(tally.waited_share)),
        ("of it cold start", percent(tally.started_share)),
    ]
    return _seconds(
        "Response",
        "manifest written to picture stored, waiting and cold starts included",
        tally.response,
        {kind: each.response for kind, each in kinds.items()},
        parts,
    )


def _seconds(
    name: str, of: str, series: Series, kinds: Mapping[str, Series], parts: list[tuple[str, str]]
) -> Criterion:
    target = f"less than {SECONDS:g} s on average, of every kind ({of})"
    mean = series.mean
    if mean is None:
        return not_run(name, target, "no job has made a picture")
    means = {kind: each.mean for kind, each in kinds.items() if each.mean is not None}
    slow = [f"{kind} takes {mean:.1f} s" for kind, mean in means.items() if mean >= SECONDS]
    return Criterion(
        name,
        target,
        Verdict.FAIL if slow or mean >= SECONDS else Verdict.PASS,
        f"{mean:.2f} s",
        mean,
        several(slow),
        parts=[*parts, *((kind, seconds(mean)) for kind, mean in means.items())],
        measured=True,
    )


def cost(account: Account, kinds: Mapping[str, Tally]) -> Criterion:
    name, target = "Cost a picture", f"less than ${USD:.2f} on average"
    tally, total = account.tally, account.ledger.total
    mean = tally.usd.mean
    if mean is None:
        return not_run(name, target, "nobody bills the machine that made the pictures")
    by_kind = {kind: each.usd.mean for kind, each in kinds.items()}
    return Criterion(
        name,
        target,
        Verdict.PASS if mean < USD else Verdict.FAIL,
        usd(mean),
        mean,
        "" if mean < USD else "the mean is above it",
        parts=[
            ("p95", usd(tally.usd.percentile(95))),
            ("of it cold start", percent(total.cold_share)),
            ("with failed and lost attempts", usd(total.total_usd / max(total.pictures, 1))),
            ("in all", usd(total.total_usd)),
            *((kind, usd(mean)) for kind, mean in by_kind.items() if mean is not None),
        ],
        measured=True,
    )


def success(tally: Tally, facts: Facts) -> Criterion:
    name, target = "Success", f"more than {SUCCESS * 100:g} % of jobs that were not refused"
    share = tally.success
    if share is None:
        return not_run(name, target, "no job has ended")
    failed = [
        each for each in facts.outcomes if each.result and each.result.status is Status.FAILED
    ]
    return Criterion(
        name,
        target,
        Verdict.PASS if share > SUCCESS else Verdict.FAIL,
        percent(share),
        share,
        several([each.fault for each in failed if each.fault]),
        parts=[(status.value, str(tally.ends[status])) for status in Status],
        jobs=[each.job.id for each in failed],
    )


def _account(results: list[Result]) -> Account:
    account = Account()
    for result in results:
        account.add(result)
    return account


def _by_kind(results: list[Result]) -> dict[str, Tally]:
    kinds: dict[str, Tally] = {}
    for result in results:
        kinds.setdefault(result.model or NOBODY, Tally()).add(result)
    return kinds
