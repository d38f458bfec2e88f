"""Figures as text, the same in tables and on pages."""

from math import floor

NOTHING = "\N{EN DASH}"


def percent(value: float | None) -> str:
    """`value` is a share: 0.5 is 50.0 %. Cut, not rounded."""
    return NOTHING if value is None else f"{cut(value * 100, 1):.1f} %"


def seconds(value: float | None) -> str:
    """To hundredths."""
    return NOTHING if value is None else f"{value:.2f} s"


def usd(value: float | None) -> str:
    """To a hundredth of a cent; to the cent from ten dollars on."""
    if value is None:
        return NOTHING
    return f"${value:,.2f}" if value >= 10 else f"${value:.4f}"


def cut(value: float, digits: int) -> float:
    """Rounded down, to so many `digits` after the point: what misses a target must not look as if
    it met it."""
    scale = 10.0**digits
    return floor(round(value * scale, 6)) / scale
