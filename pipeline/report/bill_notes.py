"""What is to be known beside the lines of a comparison with bills, in sentences. Pure."""

from collections.abc import Iterator

from pipeline.report.bill import ALL, BillComparison
from pipeline.report.bill_file import BillFile, Bills
from pipeline.report.metric_text import usd

MOST_NAMED = 8
"""Names or days of a note."""


def bill_notes(found: BillComparison, bills: Bills) -> Iterator[str]:
    cold = sum(line.sums.cold_usd for line in found.lines if line.day != ALL)
    yield (
        f"of ours {usd(cold)} paid for cold starts; idle is what is expected of idle workers; rest"
        " is billed and neither"
    )
    yield from map(_file, bills.files)
    if bills.repeated:
        yield (
            f"{bills.repeated} rows stand in the files again, the same in every cell, and count"
            " once"
        )
    if bills.shared:
        shown = _named(f"{name} {day}" for _, day, name in bills.shared)
        yield (
            f"several files have rows of {shown}: what is in both, by the hour and by the day,"
            " counts twice"
        )
    if found.others:
        shown = _named(f"{name or 'unnamed'} {usd(paid)}" for _, name, paid in found.others)
        yield f"in no line, because it is none of ours: {shown}"
    if len(found.environments) > 1:
        shown = _named(iter(found.environments))
        yield f"the app's rows of several environments are added up: {shown}"
    if found.credits_usd:
        yield (
            f"credits of {usd(found.credits_usd)} are taken off what was billed: drift and rest are"
            " of what is left"
        )
    if found.outside:
        yield (
            f"{len(found.outside)} days, {usd(found.outside_usd)}, are not compared, because the"
            f" report does not hold them from end to end (--since): {_named(iter(found.outside))}"
        )
    if found.unplaced_usd:
        yield f"{usd(found.unplaced_usd)} of ours in no line: those jobs do not say where they ran"


def _file(file: BillFile) -> str:
    if file.days is None:
        return f"{file.path} has no rows"
    first, last = file.days
    rows = f"{len(file.rows)} rows, {usd(file.usd)}, {first} to {last}"
    return f"{file.path}, {file.platform}: {rows}"


def _named(words: Iterator[str]) -> str:
    named = list(words)
    return ", ".join(named[:MOST_NAMED]) + (" …" if len(named) > MOST_NAMED else "")
