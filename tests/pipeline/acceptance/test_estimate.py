from pathlib import Path

import pytest

from config.errors import OverBudget, UnknownField
from config.settings import Settings
from pipeline.acceptance.estimate import PricedJob, expected_usd, over, ready, require_known
from pipeline.acceptance.jobs import gpu_jobs, jobs_of
from pipeline.runtime import load_runtime
from tests.support.acceptances import plan

RUNTIME = load_runtime(Settings(), "modal")
HERE = Path()


def priced_jobs(**changes: object) -> list[PricedJob]:
    return ready(jobs_of(plan(**changes), "r"), HERE, "acme", RUNTIME)


def test_an_order_is_a_manifest_with_its_price() -> None:
    priced = priced_jobs()[0]

    assert priced.prepared.key == "inbox/4.acme.flux-dev.r-flux-dev-01.json"
    assert (priced.gpu, priced.usd is not None) == ("L40S", True)
    assert expected_usd(priced_jobs()) == pytest.approx(3 * (priced.usd or 0))


def test_on_a_named_gpu_it_costs_what_that_gpu_costs() -> None:
    slow, fast = ready(gpu_jobs(plan(), "r", ["A10", "H100"])[::3], HERE, "acme", RUNTIME)

    assert (slow.gpu, fast.gpu) == ("A10", "H100")
    assert (slow.seconds or 0) > (fast.seconds or 0)


def test_a_field_that_is_none_is_told_with_the_part_of_the_plan() -> None:
    with pytest.raises(UnknownField) as error:
        priced_jobs(flux={"prompts": ["x"], "input": {"widht": 512}})

    assert error.value.message.startswith("[flux] flux-dev: ")
    assert "width" in (error.value.hint or "")


def test_a_bound_holds_for_what_was_spent_and_what_is_coming() -> None:
    some = priced_jobs()
    price = expected_usd(some)

    assert over(None, 100, some) is None
    assert over(price, 0, some) is None
    refusal = over(price, 0.01, some)
    assert isinstance(refusal, OverBudget)
    assert refusal.field == "--max-cost-usd"


def test_no_bound_can_be_kept_where_nobody_can_tell_the_cost() -> None:
    unknown = ready(gpu_jobs(plan(), "r", ["RTX-PRO-6000"]), HERE, "acme", RUNTIME)
    assert unknown[0].usd is None

    require_known(unknown, None)
    with pytest.raises(OverBudget, match="no estimate"):
        require_known(unknown, 5.0)
