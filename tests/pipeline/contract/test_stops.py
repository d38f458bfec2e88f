import pytest

from pipeline.contract.stops import ScopeKind, StopNote, Stops, StopScope

ALL = StopScope(ScopeKind.ALL)
ACME = StopScope(ScopeKind.TENANT, "acme")
FLUX = StopScope(ScopeKind.KIND, "flux-dev")


@pytest.mark.parametrize(
    ("scope", "key"),
    [(ALL, "stops/all"), (ACME, "stops/tenant.acme"), (FLUX, "stops/kind.flux-dev")],
)
def test_a_scope_is_its_key_and_back(scope: StopScope, key: str) -> None:
    assert scope.key == key
    assert StopScope.parse(key) == scope


@pytest.mark.parametrize(
    "key",
    ["stops/", "stops/all.", "stops/tenant.", "stops/tenant.A b", "stops/route.Flux", "stops/x"],
)
def test_a_stranger_s_object_stops_nothing(key: str) -> None:
    assert StopScope.parse(key) is None
    assert Stops.of_keys([key]).over("acme", "flux-dev") is None


def test_a_job_falls_under_the_widest_stop_that_names_it() -> None:
    assert Stops.of_keys([ACME.key, ALL.key]).over("acme", "flux-dev") == ALL
    assert Stops.of_keys([FLUX.key, ACME.key]).over("acme", "flux-dev") == ACME
    assert Stops.of_keys([FLUX.key]).over("acme", "flux-dev") == FLUX
    assert Stops.of_keys([FLUX.key, ACME.key]).over("zoo", "sdxl-instantid") is None


def test_a_job_of_which_nothing_is_known_falls_under_a_stop_of_everything_alone() -> None:
    assert Stops.of_keys([ACME.key, FLUX.key]).over(None, None) is None
    assert Stops.of_keys([ALL.key]).over(None, None) == ALL


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"at": "yesterday"}'])
def test_a_note_that_cannot_be_read_is_an_empty_one(body: bytes) -> None:
    assert StopNote.parse(body) == StopNote()


def test_a_note_says_who_and_why() -> None:
    note = StopNote(reason="the bill", by="ann@desk")
    assert StopNote.parse(note.body()) == note


@pytest.mark.parametrize(
    ("scope", "said"), [(ALL, "all jobs"), (ACME, "tenant acme"), (FLUX, "kind flux-dev")]
)
def test_a_scope_is_said_in_words(scope: StopScope, said: str) -> None:
    assert str(scope) == said


def test_what_stands_is_scopes_alone() -> None:
    assert Stops.of_keys([ALL.key, "stops/x", "stops/route.flux"]).scopes == {ALL}
