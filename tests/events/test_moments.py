import pytest

from events.catalogue import ManifestRejected
from events.job_properties import request_properties
from events.moments import Moment, ending, event_for


def test_a_refusal_is_a_failure_that_says_so() -> None:
    refused = ending(
        Moment.REFUSED, "flux-dev", request_properties("flux-dev", {}), entry="a", error_code="x"
    )
    failed = ending(
        Moment.FAILED, "flux-dev", request_properties("flux-dev", {}), entry="a", error_code="x"
    )
    assert refused.name_for("flux-dev") == failed.name_for("flux-dev")
    assert refused.properties()["refused"] is True
    assert failed.properties()["refused"] is False


def test_a_cancelled_job_has_an_event_of_its_own() -> None:
    event = ending(Moment.CANCELLED, "flux-lora", request_properties("flux-lora", {}), entry="a")
    assert event.name_for("flux-lora") == "modal_lora_generation_cancelled"


@pytest.mark.parametrize("kind", [None, "", "flux-dve", "../../etc"])
@pytest.mark.parametrize("moment", [Moment.FAILED, Moment.REFUSED, Moment.CANCELLED])
def test_a_job_of_no_known_kind_has_its_rejection_for_an_end(
    kind: str | None, moment: Moment
) -> None:
    event = ending(moment, kind, request_properties(kind, {}), entry="j1.json", field="model")
    assert event == ManifestRejected(entry="j1.json", field="model")
    assert event.name_for(kind) == "modal_manifest_rejected"


def test_a_job_of_no_known_kind_was_never_requested() -> None:
    assert event_for(Moment.ADOPTED, "flux-dve") is None


def test_a_rejected_entry_is_rejected_even_when_its_kind_is_known() -> None:
    event = ending(
        Moment.REJECTED, "flux-dev", request_properties("flux-dev", {}), entry="9-x.json"
    )
    assert event == ManifestRejected(entry="9-x.json")


def test_success_has_no_ending_to_build() -> None:
    with pytest.raises(ValueError, match="no end without success"):
        ending(Moment.SUCCEEDED, "flux-dev", request_properties("flux-dev", {}), entry="a")
