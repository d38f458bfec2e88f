import json
from dataclasses import replace
from datetime import timedelta
from math import isfinite
from pathlib import Path
from typing import Any

import pytest

from config.errors import (
    LoraError,
    LoraMismatch,
    LoraNotFound,
    LoraUnreadable,
    RylaError,
    Stopped,
    StoreDenied,
    StoreError,
    StoreUnavailable,
)
from config.routes import RouteTable
from config.settings import Settings
from events.stored_event import StoredEvent
from handlers.kinds.seeds import seed_from_id
from pipeline.contract.error_info import ErrorInfo
from pipeline.contract.keys import MAX_BYTES, inbox_key
from pipeline.contract.lease import Lease, Phase, Spent
from pipeline.contract.manifest import Manifest, parse_manifest
from pipeline.contract.result import Result, Status
from pipeline.dispatcher.preflight import preflight
from pipeline.inputs.supplies import job_request
from pipeline.queue.bounds import MOST_LOST_CLAIMS, MOST_PREEMPTIONS, MOST_WAITS
from pipeline.queue.claim_steps import too_large
from pipeline.queue.protocol import Preflight
from pipeline.queue.spawn import MAX_MANIFEST_BYTES, MAX_PAYLOAD_BYTES, SpawnPayload
from pipeline.runtime import RuntimeConfig, load_runtime
from tests.support.jobs import NOW, a_lease, stored
from tests.support.manifests import body

RUNTIME: RuntimeConfig = load_runtime(Settings(max_attempts=3, environment="test"), "local")
GOOD = body(tenant="acme")

OWN_GRAPH = Path(__file__).parents[3] / "examples/manifests/own-graph.json"


def decide(manifest: bytes = GOOD, **lease: Any) -> SpawnPayload | Result | Lease:
    return preflight(Preflight(a_lease(**lease), "etag", manifest), RUNTIME, NOW)


def refusal(manifest: bytes = GOOD, **lease: Any) -> Result:
    decision = decide(manifest, **lease)
    assert isinstance(decision, Result)
    assert decision.error is not None
    return decision


def code(result: Result) -> str:
    assert result.error is not None
    return result.error.code


def test_a_good_job_becomes_a_reference_that_needs_no_read() -> None:
    decision = decide()
    assert isinstance(decision, SpawnPayload)
    assert decision.lease is not None
    estimate = decision.lease.estimate_usd
    assert estimate is not None
    assert estimate > 0
    lease = a_lease(estimate_usd=estimate)
    expected = SpawnPayload(
        id="job",
        claim="claim-1",
        etag="etag",
        model="flux-dev",
        tenant=lease.tenant,
        lease=lease,
        manifest=GOOD.decode(),
        claimed_at=NOW,
    )
    assert decision == expected


def test_what_a_bare_key_did_not_say_is_known_from_now_on() -> None:
    payload = decide(entry="inbox/job.json", model=None, tenant=None)
    assert isinstance(payload, SpawnPayload)
    assert payload.lease is not None
    assert (payload.lease.model, payload.lease.tenant) == ("flux-dev", "acme")


def test_a_manifest_too_big_for_the_reference_is_read_by_the_worker() -> None:
    def carried(size: int) -> bool:
        padded = GOOD + b" " * (size - len(GOOD))
        payload = decide(padded)
        assert isinstance(payload, SpawnPayload)
        assert payload.lease is not None
        return payload.manifest is not None

    assert carried(MAX_MANIFEST_BYTES)
    assert not carried(MAX_MANIFEST_BYTES + 1)


def event(size: int) -> StoredEvent:
    return StoredEvent(
        event="e", uuid="u", distinct_id="d", timestamp="t", properties={"pad": "x" * size}
    )


def test_a_reference_is_filled_to_the_brim() -> None:
    def made(padding: int) -> SpawnPayload:
        payload = decide(events=(event(padding),))
        assert isinstance(payload, SpawnPayload)
        return payload

    room = MAX_PAYLOAD_BYTES - len(made(0).model_dump_json())
    full, beyond = made(room), made(room + 1)
    assert len(full.model_dump_json()) == MAX_PAYLOAD_BYTES
    assert full.manifest is not None
    assert (beyond.manifest, beyond.lease is None) == (None, False)


def test_carried_events_too_big_for_the_reference_stay_in_the_lease() -> None:
    payload = decide(events=(event(4000),))
    assert isinstance(payload, SpawnPayload)
    assert payload.lease is not None
    bare = decide(events=(event(MAX_PAYLOAD_BYTES),))
    assert isinstance(bare, SpawnPayload)
    assert (bare.lease, bare.manifest) == (None, None)
    assert len(bare.model_dump_json()) < MAX_PAYLOAD_BYTES


def test_all_attempts_are_used_and_none_more() -> None:
    assert isinstance(decide(attempt=30, failures=2), SpawnPayload)
    result = refusal(attempt=4, failures=3)
    assert (code(result), result.status, result.attempt) == ("attempts_exhausted", "failed", 4)
    assert result.error is not None
    assert result.error.message == "3 attempts are used up"


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"waits": MOST_WAITS}, "never_started"),
        ({"lost_claims": MOST_LOST_CLAIMS}, "claims_lost"),
        ({"preemptions": MOST_PREEMPTIONS}, "preempted_too_often"),
    ],
)
def test_what_is_bounded_is_counted_apart(counts: dict[str, Any], expected: str) -> None:
    result = refusal(**counts)
    assert (code(result), result.status) == (expected, "failed")
    (event,) = [each for each in result.events if each.event.endswith("_failed")]
    assert event.properties["refused"] is False
    less: dict[str, Any] = {name: bound - 1 for name, bound in counts.items()}
    assert isinstance(decide(**less), SpawnPayload)


def test_the_last_error_is_told_when_attempts_are_used_up() -> None:
    last = ErrorInfo(code="comfyui_died", message="it died", retryable=True)
    error = refusal(failures=3, error=last).error
    assert error is not None
    assert error.message.endswith("; the last error was comfyui_died: it died")


def test_attempts_are_counted_before_the_manifest_is_looked_at() -> None:
    assert code(refusal(b"{", failures=3)) == "attempts_exhausted"
    assert code(refusal(b"{", failures=2)) == "manifest_not_json"


def test_a_body_too_large_is_refused_with_its_size() -> None:
    placeholder = too_large(stored(b"", size=MAX_BYTES + 1))
    result = refusal(placeholder)
    assert code(result) == "manifest_too_large"
    assert result.error is not None
    assert result.error.value == str(MAX_BYTES + 1)
    assert result.status is Status.REJECTED


@pytest.mark.parametrize(
    "lookalike",
    [
        b'{"too_large": 5}',
        b'{"too_large"',
        b'{"too_large": {"bytes": "many", "etag": "x"}}',
        b'{"too_large": ' + b"[" * 100_000,
    ],
)
def test_a_body_that_only_looks_like_the_note_of_one_is_a_bad_manifest(lookalike: bytes) -> None:
    assert refusal(lookalike).status is Status.REJECTED
    assert code(refusal(lookalike)) != "manifest_too_large"


def test_a_key_must_say_what_the_manifest_says() -> None:
    entry = inbox_key("job", priority=5, tenant="other", model="flux-dev")
    assert code(refusal(entry=entry)) == "key_mismatch"
    assert isinstance(decide(entry="inbox/job.json"), SpawnPayload)


def test_a_deadline_is_over_at_its_second() -> None:
    def due_in(seconds: float) -> bytes:
        return body(tenant="acme", deadline=(NOW + timedelta(seconds=seconds)).isoformat())

    assert isinstance(decide(due_in(1)), SpawnPayload)
    result = refusal(due_in(0))
    assert (code(result), result.status) == ("deadline_exceeded", Status.FAILED)


def test_a_job_dearer_than_its_budget_is_refused() -> None:
    assert isinstance(decide(body(tenant="acme", max_cost_usd=10)), SpawnPayload)
    result = refusal(body(tenant="acme", max_cost_usd=0.000001))
    assert (code(result), result.status) == ("over_budget", Status.REJECTED)
    assert result.cost is not None
    assert result.cost.usd == 0
    assert 0.000001 < (result.cost.estimate_usd or 0) <= (result.cost.estimate_most_usd or 0)


def test_a_refused_manifest_that_cannot_be_read_has_no_estimate() -> None:
    cost = refusal(b"{").cost
    assert cost is not None
    assert cost.estimate_usd is None


@pytest.mark.parametrize("number", [10**300, 10**400])
@pytest.mark.parametrize("field", ["steps", "width", "batch_size"])
def test_a_graph_that_asks_for_more_than_numbers_can_say_is_refused_without_an_estimate(
    field: str, number: int
) -> None:
    manifest = json.loads(OWN_GRAPH.read_bytes())
    for node in manifest["input"]["workflow"].values():
        if field in node["inputs"]:
            node["inputs"][field] = number
    lease = a_lease(entry="inbox/job.json", model=None, tenant=None)
    sent = json.dumps(manifest).encode()
    refused = preflight(Preflight(lease, "etag", sent), load_runtime(Settings(), "modal"), NOW)

    assert isinstance(refused, Result)
    assert code(refused) == "graph_rejected"
    assert refused.cost is not None
    assert isfinite(refused.cost.estimate_usd or 0)


def test_a_sheet_as_the_backend_sends_it_needs_a_consent_only_with_nsfw() -> None:
    runtime = load_runtime(Settings(nsfw_tenants="adult"), "local")
    consent = {"subject": "synthetic", "record": "characters/ann.md"}
    lease = a_lease(entry="inbox/job.json", model=None, tenant=None)

    def ended(base: str, **more: Any) -> str:
        nsfw = base == "flux-dev"
        given = {"name": "character", "reference_images": ["inputs/a.png"], "base": base}
        manifest = {"version": 1, "model": "character-sheet", "tenant": "adult", **more}
        sent = json.dumps({**manifest, "input": {**given, "nsfw": nsfw}}).encode()
        decision = preflight(Preflight(lease, "etag", sent), runtime, NOW)
        return code(decision) if isinstance(decision, Result) else "spawned"

    assert ended("sdxl") == "spawned"
    assert ended("flux-dev") == "consent_missing"
    assert ended("flux-dev", consent=consent) == "missing_model"  # the operator's checkpoint


def test_a_sheet_whose_budget_is_below_one_try_a_view_is_refused() -> None:
    given = {"name": "character", "reference_images": ["inputs/a.png"]}
    manifest = {"version": 1, "model": "character-sheet", "tenant": "acme", "input": given}
    for budget, expected in ((0.0001, "over_budget"), (100, "")):
        sent = json.dumps({**manifest, "max_cost_usd": budget}).encode()
        runtime = load_runtime(Settings(), "modal")
        lease = a_lease(entry="inbox/job.json", model=None, tenant=None)
        decision = preflight(Preflight(lease, "etag", sent), runtime, NOW)
        assert (code(decision) if isinstance(decision, Result) else "") == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"prompt": "nude child"}, "prompt_refused"),
        ({"tenant": "acme", "input": {"nsfw": True}}, "nsfw_not_allowed"),
        ({"tenant": "adult", "input": {"nsfw": True}}, "missing_model"),
        (
            {"tenant": "adult", "model": "flux-lora", "input": {"nsfw": True, "lora_id": "7"}},
            "consent_missing",
        ),
    ],
)
def test_policy_refuses_with_a_code_and_an_event(changes: dict[str, Any], expected: str) -> None:
    runtime = load_runtime(Settings(nsfw_tenants="adult, other"), "local")
    lease = a_lease(entry="inbox/job.json", model=None, tenant=None)
    result = preflight(Preflight(lease, "etag", body(**changes)), runtime, NOW)

    assert isinstance(result, Result)
    assert (code(result), result.status) == (expected, Status.REJECTED)
    ended = result.events[-1]
    assert ended.event.endswith("_failed")
    assert (ended.properties["error_code"], ended.properties["refused"]) == (expected, True)
    assert "nude" not in result.body().decode()


def test_a_classifier_takes_the_word_filters_place() -> None:
    def no_cats(text: str, *, nsfw: bool) -> str | None:
        return "it has a cat" if "cat" in text else None

    runtime = replace(RUNTIME, prompt_check=no_cats)
    result = preflight(Preflight(a_lease(), "etag", GOOD), runtime, NOW)

    assert isinstance(result, Result)
    assert code(result) == "prompt_refused"


def test_every_problem_of_a_manifest_is_told() -> None:
    result = refusal(body(tenant="acme", priority=77, input={"steps": 0}))
    assert result.error is not None
    assert {result.error.field, *(other.field for other in result.also)} == {
        "priority",
        "input.steps",
    }


def test_an_error_of_one_piece_has_nothing_beside_it() -> None:
    assert refusal(failures=3).also == ()


@pytest.mark.parametrize(
    ("lease", "manifest", "refused"),
    [
        ({}, b'{"version":1,"model":"flux-dev","tenant":"acme"}', True),
        ({"attempt": 4, "failures": 3}, GOOD, False),
    ],
)
def test_a_refusal_owes_the_events_of_the_whole_job(
    lease: dict[str, Any], manifest: bytes, refused: bool
) -> None:
    earlier = event(1)
    result = refusal(manifest, events=(earlier,), **lease)
    names = [each.event for each in result.events]
    assert names[0].endswith("requested")
    assert names[1] == "e"
    assert names[2].endswith("failed")
    assert result.events[2].properties["refused"] is refused
    assert len(names) == 3


def test_a_refusal_costs_what_earlier_attempts_cost() -> None:
    result = refusal(failures=3, spent=Spent(usd=0.5, upper_bound=True))
    assert result.cost is not None
    assert (result.cost.usd, result.cost.total_usd, result.cost.upper_bound) == (0.0, 0.5, True)
    ended = result.events[-1].properties
    assert ended["cost_usd"] == 0.5


def test_a_refusal_is_about_the_job_as_far_as_it_can_be_read() -> None:
    result = refusal(b"not json")
    assert (result.id, result.model, result.tenant) == ("job", None, None)
    known = refusal(body(tenant="acme", priority=77))
    assert (known.model, known.tenant) == ("flux-dev", "acme")
    assert (known.nonce, known.submitted_at, known.finished_at) == ("claim-1", NOW, NOW)


def test_a_missing_seed_comes_from_the_id() -> None:
    def seed(**fields: Any) -> int:
        return job_request("job", 2, parse_manifest(body(input=fields))).seed

    assert seed() == seed_from_id("job")
    assert seed(seed=0) == 0
    assert seed(seed=7) == 7


def needy(error: RylaError) -> SpawnPayload | Result | Lease:
    """The decision about a good job whose needs are not met."""

    def check_needs(manifest: Manifest) -> str | None:
        assert manifest.model == "flux-dev"
        raise error

    return preflight(Preflight(a_lease(attempt=2), "etag", GOOD), RUNTIME, NOW, check_needs)


@pytest.mark.parametrize("kind", [LoraNotFound, LoraMismatch, LoraUnreadable])
def test_a_lora_that_cannot_be_used_refuses_the_job_and_is_told(kind: type[LoraError]) -> None:
    result = needy(kind("no such thing", hint="look again"))
    assert isinstance(result, Result)
    assert (result.status, code(result)) == (Status.REJECTED, kind.code)
    assert result.provenance is None
    assert [each.event for each in result.events] == [
        "modal_flux_dev_generation_requested",
        "modal_lora_load_failed",
        "modal_flux_dev_generation_failed",
    ]
    failed = result.events[1].properties
    assert (failed["error_code"], failed["reason"]) == (kind.code, "no such thing")
    assert (failed["attempt"], failed["engine"]) == (2, "local")
    assert result.events[2].properties["refused"] is True


@pytest.mark.parametrize("error", [StoreUnavailable("timeout"), StoreDenied("403")])
def test_a_store_that_fails_says_nothing_of_the_job(error: StoreError) -> None:
    with pytest.raises(type(error)):
        needy(error)


def test_needs_are_not_looked_at_for_a_job_that_is_refused_anyway() -> None:
    asked: list[Manifest] = []

    def check_needs(manifest: Manifest) -> str | None:
        asked.append(manifest)
        return None

    for manifest in (b"{", body(tenant="acme", max_cost_usd=0.000001)):
        preflight(Preflight(a_lease(), "etag", manifest), RUNTIME, NOW, check_needs)
    assert asked == []


def test_the_lease_of_a_spawned_job_names_its_lora() -> None:
    for lora in ("loras/film.safetensors", None):
        ask = Preflight(a_lease(lora="loras/before.safetensors"), "etag", GOOD)
        payload = preflight(ask, RUNTIME, NOW, lambda _, lora=lora: lora)  # type: ignore[misc]
        assert isinstance(payload, SpawnPayload)
        assert payload.lease is not None
        assert payload.lease.lora == lora


def without(route: str) -> RuntimeConfig:
    routes = {name: each for name, each in RUNTIME.routes.routes.items() if name != route}
    return replace(RUNTIME, routes=RouteTable(routes=routes))


def test_a_kind_whose_route_is_gone_is_refused_or_left_to_a_newer_version() -> None:
    ask = Preflight(a_lease(), "etag", GOOD)
    result = preflight(ask, without("Flux"), NOW)
    assert isinstance(result, Result)
    assert (code(result), result.status) == ("not_available", Status.REJECTED)
    assert result.error is not None
    assert result.error.field == "model"
    left = preflight(ask, without("Flux"), NOW, newer_is_deployed=lambda: True)
    assert isinstance(left, Lease)
    assert (left.phase, left.failures) == (Phase.RETRY, 0)
    assert isinstance(preflight(ask, without("ZImage"), NOW), SpawnPayload)


def test_the_decision_is_pure() -> None:
    assert decide() == decide()
    assert json.loads(GOOD)["model"] == "flux-dev"
    assert Lease.parse(a_lease().body()) == a_lease()


@pytest.mark.parametrize(
    ("manifest", "unknown"),
    [
        (body(tenant="acme", model="hologram"), True),
        (body(tenant="acme", model="wan-t2v"), True),
        (body(tenant="acme", version=2), True),
        (body(tenant="acme", input={"prompt": "a cat", "sparkle": 1}), True),
        (body(tenant="acme", later=1), True),
        (body(tenant="acme", deadline="1764000000", later=1), True),
        (body(tenant="acme", input={"prompt": "a cat", "steps": 0}), False),
        (body(tenant="acme", deadline="2020-01-01T00:00:00Z"), False),
    ],
)
def test_what_only_a_newer_version_may_know_is_left_to_it(manifest: bytes, unknown: bool) -> None:
    lease = a_lease(attempt=2)
    asked: list[None] = []

    def newer() -> bool:
        asked.append(None)
        return True

    decision = preflight(Preflight(lease, "etag", manifest), RUNTIME, NOW, newer_is_deployed=newer)
    assert isinstance(decision, Lease) == unknown
    assert bool(asked) == unknown
    if isinstance(decision, Lease):
        assert (decision.phase, decision.failures) == (Phase.RETRY, 0)
        assert decision.not_before is not None
        assert decision.error is not None


def test_without_a_newer_version_it_is_refused() -> None:
    ask = Preflight(a_lease(), "etag", body(tenant="acme", model="hologram"))
    assert isinstance(preflight(ask, RUNTIME, NOW, newer_is_deployed=lambda: False), Result)


def test_a_job_that_has_to_wait_is_handed_back_with_what_its_body_said() -> None:
    why = Stopped("an operator has stopped all jobs")
    ask = Preflight(a_lease(tenant=None, model=None), "etag", GOOD)
    decision = preflight(ask, RUNTIME, NOW, why_waits=lambda lease: why)
    assert isinstance(decision, Lease)
    assert (decision.phase, decision.not_before) == (Phase.RETRY, NOW)
    assert (decision.tenant, decision.model) == ("acme", "flux-dev")
    assert decision.error is not None
    assert decision.error.code == "stopped"
