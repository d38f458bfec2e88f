"""The tables of `ryla plan`: forecasts side by side, and the workers of each route."""

from collections.abc import Callable, Iterator, Sequence

from rich.table import Table

from pipeline.cli import output
from pipeline.forecast.forecast import Forecast, Part, RouteForecast
from pipeline.forecast.interval import Interval
from pipeline.pages.figure_text import usd

FIGURES: Sequence[tuple[str, Callable[[Forecast], str]]] = (
    ("platform", lambda each: each.platform),
    ("jobs", lambda each: str(each.jobs)),
    ("pictures", lambda each: str(each.pictures)),
    ("dollars", lambda each: _within(each.usd, usd)),
    ("  of it cold starts", lambda each: _within(each.total(lambda it: it.cold_usd), usd)),
    ("  of it idle", lambda each: _within(each.total(lambda it: it.idle_usd), usd)),
    ("a picture", lambda each: usd(each.usd.expected / each.pictures) if each.pictures else ""),
    ("done in", lambda each: _within(each.finished, output.span)),
    ("GPU seconds", lambda each: _within(each.figure("gpu_seconds"), _whole)),
    ("cold starts", lambda each: _within(each.figure("cold_starts"), _whole)),
    ("LoRA switches", lambda each: _within(each.figure("lora_switches"), _whole)),
)
PART_COLUMNS = (
    *("=platform", ">jobs", ">pictures", ">came over", ">cold starts", ">done in"),
    *(">GPU s", ">dollars"),
)
ROUTE_COLUMNS = (
    *("=route", "=platform", "=GPU", ">jobs", ">pictures", ">workers", ">at most", ">idle_s"),
    *(">cold start", ">done in", ">GPU s", ">dollars"),
)


def forecast_tables(found: Sequence[Forecast]) -> Iterator[Table]:
    """All of them side by side; then by platform, where there are several; then by route."""
    rows = [(name, *(read(each) for each in found)) for name, read in FIGURES]
    yield output.table(None, ("=", *(f"={each.name}" for each in found)), rows)
    named = len(found) > 1
    if any(len(each.platforms) > 1 for each in found):
        yield _platform_table(found)
    columns = ("=plan", *ROUTE_COLUMNS) if named else ROUTE_COLUMNS
    yield output.table(
        None,
        columns,
        [
            (each.name, *_route_row(route)) if named else _route_row(route)
            for each in found
            for route in each.routes
        ],
    )


def _platform_table(found: Sequence[Forecast]) -> Table:
    """Each platform of each plan, and their sum."""
    rows = [
        (each.name, *_part_row(part))
        for each in found
        for part in (*each.platforms, Part("in all", each.routes))
    ]
    if len(found) == 1:
        return output.table(None, PART_COLUMNS, [row[1:] for row in rows])
    return output.table(None, ("=plan", *PART_COLUMNS), rows)


def _part_row(part: Part) -> tuple[object, ...]:
    return (
        part.name,
        part.jobs,
        part.pictures,
        _whole(part.figure("overflowed").expected),
        _whole(part.figure("cold_starts").expected),
        output.span(part.finished.expected),
        _whole(part.figure("gpu_seconds").expected),
        usd(part.usd.expected),
    )


def _route_row(route: RouteForecast) -> tuple[object, ...]:
    machine = route.machine
    return (
        route.route,
        route.platform,
        machine.gpu.name,
        route.jobs,
        route.pictures,
        _whole(route.interval("workers").expected),
        machine.most,
        f"{machine.idle_s:g}",
        output.span(machine.start.expected),
        output.span(route.interval("finished_s").expected),
        _whole(route.interval("gpu_seconds").expected),
        usd(route.usd.expected),
    )


def _within(interval: Interval, text: Callable[[float], str]) -> str:
    """What is expected, and the bounds where they read otherwise."""
    low, expected, high = (text(each) for each in (interval.low, interval.expected, interval.high))
    return expected if low == expected == high else f"{expected} ({low} to {high})"


def _whole(value: float) -> str:
    return f"{value:.0f}"
