from pipeline.forecast.interval import CASES, Interval


def test_a_reckoned_figure_lies_within_its_share_and_its_tries() -> None:
    assert Interval.around(10, 20, 0.1) == Interval(9, 10, 22)


def test_a_run_that_has_less_of_a_figure_bounds_it_from_below() -> None:
    assert Interval.of([5, 4, 3]) == Interval(3, 4, 5)


def test_each_case_reads_one_of_the_three_figures() -> None:
    assert [case(Interval(1, 2, 3)) for case in CASES] == [1, 2, 3]
