from pipeline.contract.stops import Stops
from pipeline.dispatcher.gate import Gate
from tests.support.jobs import a_lease


def test_a_job_passes_where_nothing_is_stopped() -> None:
    assert Gate().why_waits(a_lease()) is None


def test_a_job_under_a_stop_waits_and_is_told_which() -> None:
    gate = Gate(Stops.of_keys(["stops/tenant.acme"]))
    why = gate.why_waits(a_lease(tenant="acme"))
    assert why is not None
    assert why.value == "stops/tenant.acme"
    assert gate.why_waits(a_lease(tenant="zoo")) is None
