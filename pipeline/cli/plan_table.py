"""The tables of `ryla plan`: forecasts side by side, and the workers of each route."""

from collections.abc import Callable, Iterator, Sequence

from rich.table import Table

from pipeline.cli import output
from pipeline.forecast.forecast import Forecast, RouteForecast
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
ROUTE_COLUMNS = (
    *("=route", "=GPU", ">jobs", ">pictures", ">workers", ">at most", ">idle_s"),
    *(">cold start", ">done in", ">GPU s", ">dollars"),
)


def forecast_tables(found: Sequence[Forecast]) -> Iterator[Table]:
    """All of them side by side; then by route."""
    rows = [(name, *(read(each) for each in found)) for name, read in FIGURES]
    yield output.table(None, ("=", *(f"={each.name}" for each in found)), rows)
    named = len(found) > 1
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


def _route_row(route: RouteForecast) -> tuple[object, ...]:
    first, machine = route.tallies[0], route.machine
    return (
        route.route,
        machine.gpu.name,
        first.jobs,
        first.pictures,
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
