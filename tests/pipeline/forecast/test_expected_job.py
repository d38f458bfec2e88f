from pipeline.dispatcher.survey import free_slots
from tests.support.forecasts import cloud, job, of_manifest
from tests.support.sheets import sheet_manifest


def test_a_keyed_job_is_ordered_by_its_key_alone() -> None:
    assert job("one", cloud(), priority=7, tenant="acme").waiting.contents is None


def test_a_bare_job_is_ordered_by_what_its_body_says() -> None:
    found = job("one", cloud(), tenant="acme", bare=True).waiting
    assert (found.tenant, found.model) == ("acme", "flux-dev")


def test_a_lora_is_told_from_the_input() -> None:
    found = job("one", cloud(), model="flux-lora", input={"lora_id": "muse"})
    assert found.lora is not None
    assert "muse" in found.lora
    assert found.lease().lora == found.lora


def test_pictures_are_those_that_are_delivered() -> None:
    """Of a sheet its views, whatever tries they take."""
    runtime = cloud()
    assert job("one", runtime, input={"num_images": 3}).pictures == 3
    assert of_manifest("two", sheet_manifest(("front", "left")), runtime).pictures == 2


def test_its_lease_takes_a_slot_of_its_route() -> None:
    runtime = cloud()
    lease = job("one", runtime).lease()
    assert lease.id == "one"
    assert free_slots(runtime, [lease]).of("flux-dev") == 15
