"""An acceptance as one page that loads nothing from anywhere."""

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.accepting.account import Acceptance
from pipeline.report.words import NOTHING, usd


def write_page(acceptance: Acceptance, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render(acceptance), "utf-8")


def render(acceptance: Acceptance) -> str:
    environment = Environment(
        loader=PackageLoader("pipeline.accepting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"usd": usd, "seconds": _seconds}
    return environment.get_template("accept.html.j2").render(acceptance=acceptance)


def _seconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f} s"
