"""Criteria of seconds, dollars and success, as `ryla report` defines them. Pure."""

from collections.abc import Callable, Iterator, Mapping

from pipeline.acceptance.criteria.criterion import Criterion, Facts, Verdict, not_run, several
from pipeline.contract.result import Status
from pipeline.pages.figure_text import percent, seconds, usd
from pipeline.report.money import NOBODY
from pipeline.report.series import Series
from pipeline.report.targets import SECONDS, SUCCESS, USD, Tally
from pipeline.report.totals import Account

Kinds = Mapping[str, Tally]


def figure_criteria(facts: Facts) -> Iterator[Criterion]:
    account, kinds = Account(), dict[str, Tally]()
    for result in facts.results:
        account.add(result)
        kinds.setdefault(result.model or NOBODY, Tally()).add(result)
    tally = account.tally
    of = "execution started to picture stored"
    yield _seconds("Seconds a picture", of, tally, kinds, lambda each: each.making)
    of = "manifest written to picture stored, waiting and cold starts included"
    waited = ("of it waiting", percent(tally.waited_share))
    started = ("of it cold start", percent(tally.started_share))
    yield _seconds("Response", of, tally, kinds, lambda each: each.response, waited, started)
    yield _cost(account, kinds)
    yield _success(tally, facts)


def _seconds(
    name: str,
    of: str,
    tally: Tally,
    kinds: Kinds,
    series_of: Callable[[Tally], Series],
    *parts: tuple[str, str],
) -> Criterion:
    target = f"less than {SECONDS:g} s on average, of every kind ({of})"
    series = series_of(tally)
    mean = series.mean
    if mean is None:
        return not_run(name, target, "no job has made a picture")
    all_means = {kind: series_of(each).mean for kind, each in kinds.items()}
    means = {kind: mean for kind, mean in all_means.items() if mean is not None}
    slow = [f"{kind} takes {mean:.1f} s" for kind, mean in means.items() if mean >= SECONDS]
    by_kind = [(kind, seconds(mean)) for kind, mean in means.items()]
    return Criterion(
        name,
        target,
        Verdict.FAIL if slow or mean >= SECONDS else Verdict.PASS,
        seconds(mean),
        mean,
        several(slow),
        parts=[("p95", seconds(series.percentile(95))), *parts, *by_kind],
        measured=True,
    )


def _cost(account: Account, kinds: Kinds) -> Criterion:
    name, target = "Cost a picture", f"less than ${USD:.2f} on average"
    tally, total = account.tally, account.ledger.total
    mean = tally.usd.mean
    if mean is None:
        return not_run(name, target, "nobody bills the machine that made the pictures")
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
            *((kind, usd(each.usd.mean)) for kind, each in kinds.items() if each.usd),
        ],
        measured=True,
    )


def _success(tally: Tally, facts: Facts) -> Criterion:
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
