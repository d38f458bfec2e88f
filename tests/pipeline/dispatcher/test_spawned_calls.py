from pipeline.dispatcher.spawned_calls import SpawnedCalls


def test_the_call_of_a_claim_is_told_once() -> None:
    calls = SpawnedCalls()
    calls.note("claim-1", "call-1")
    assert (calls.take("claim-1"), calls.take("claim-1")) == ("call-1", None)


def test_what_has_no_name_and_what_was_spawned_elsewhere_is_not_known() -> None:
    calls = SpawnedCalls()
    calls.note("claim-1", None)
    assert [calls.take(claim) for claim in ("claim-1", "elsewhere", None)] == [None, None, None]


def test_the_oldest_are_forgotten() -> None:
    calls = SpawnedCalls(most=2)
    for number in range(3):
        calls.note(f"claim-{number}", f"call-{number}")
    assert [calls.take(f"claim-{number}") for number in range(3)] == [None, "call-1", "call-2"]
