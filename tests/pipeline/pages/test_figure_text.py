from pipeline.pages.figure_text import NOTHING, percent, seconds, usd


def test_a_share_is_never_rounded_up_to_all() -> None:
    assert percent(0.99999) == "99.9 %"
    assert percent(1.0) == "100.0 %"
    assert percent(0.285) == "28.5 %"


def test_large_sums_are_told_to_the_cent() -> None:
    assert usd(1234.567) == "$1,234.57"
    assert usd(9.87654) == "$9.8765"


def test_what_nobody_knows_is_a_dash() -> None:
    assert {percent(None), seconds(None), usd(None)} == {NOTHING}
