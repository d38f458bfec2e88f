"""A body becomes a job in the inbox."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from config.errors import IdConflict, InvalidField, InvalidInput, ManifestNotJson, RylaError
from config.settings import Settings
from handlers.media.intake_process import Patience
from pipeline.api.job_submission import Submission, SubmissionParser, put, put_again
from pipeline.contract.keys import inbox_key, manifest_key
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore
from tests.support.instant_comfyui import picture
from tests.support.pipeline_fixture import CountingStore

PNG = picture(64)
ID = "0" * 32


def parser(**settings: Any) -> SubmissionParser:
    def fetch(url: str, *, patience: Patience | None = None) -> bytes:
        assert patience is None
        assert url == "https://pictures.example/face.png"
        return PNG

    return SubmissionParser(Settings.model_validate(settings), fetch)


def submission(body: Any, kind: str = "flux-dev", **settings: Any) -> Submission:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parser(**settings).submission(raw, id=ID, kind=kind, tenant="acme")


def face(reference: str) -> Submission:
    return submission({"prompt": "a portrait", "reference_image": reference}, "sdxl-instantid")


def test_the_manifest_is_canonical_and_has_only_what_was_given() -> None:
    one = submission(b'{"seed": 0, "prompt": "a fox", "priority": 7}')
    other = submission(b'{"priority":7,"prompt":"a fox",\n "seed":0}')

    assert one == other
    assert one.key == inbox_key(ID, priority=7, tenant="acme", model="flux-dev")
    assert json.loads(one.body) == {
        "version": 1,
        "model": "flux-dev",
        "tenant": "acme",
        "priority": 7,
        "input": {"prompt": "a fox", "seed": 0},
    }


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"null", b'{"prompt": NaN}'])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(ManifestNotJson):
        submission(body)


def test_a_field_given_twice_is_refused() -> None:
    with pytest.raises(InvalidField, match="twice"):
        submission(b'{"prompt": "a", "prompt": "b"}')


def test_errors_name_the_field_as_the_body_has_it() -> None:
    with pytest.raises(RylaError) as wrong:
        submission({"prompt": "a fox", "steps": "20"})

    assert wrong.value.field == "steps"
    assert wrong.value.message.startswith("steps: ")


@pytest.mark.parametrize(
    "reference",
    [
        "data:image/png;base64," + base64.b64encode(PNG).decode(),
        "https://pictures.example/face.png",
    ],
)
def test_a_picture_goes_under_inputs_and_the_manifest_names_its_key(reference: str) -> None:
    made = face(reference)

    (brought,) = made.images
    assert brought.key.startswith("inputs/")
    assert json.loads(made.body)["input"]["reference_image"] == brought.key


def test_the_key_of_a_picture_in_the_bucket_stays() -> None:
    assert face("inputs/" + "0" * 64 + ".png").images == ()


@pytest.mark.parametrize("form", ["@{}", "file:{}", "file://{}"])
def test_no_file_of_the_server_is_read(form: str, tmp_path: Path) -> None:
    (tmp_path / "face.png").write_bytes(PNG)

    with pytest.raises(InvalidInput, match="server's disk") as refused:
        face(form.format(tmp_path / "face.png"))
    assert refused.value.field == "reference_image"


def test_a_callback_is_refused_at_once_where_none_can_be_sent() -> None:
    with pytest.raises(RylaError, match="callback_url") as refused:
        submission({"prompt": "a fox", "callback_url": "https://hooks.example/done"})
    assert (refused.value.code, refused.value.http_status) == ("not_available", 422)


def test_a_field_that_the_kind_has_not_is_a_wrong_field_not_a_missing_method() -> None:
    with pytest.raises(RylaError) as refused:
        submission({"prompt": "a fox", "nsfw": True}, "flux-schnell")
    assert (refused.value.code, refused.value.http_status) == ("not_available", 422)
    assert refused.value.field == "nsfw"


@pytest.fixture
def raw() -> CountingStore:
    return CountingStore(MemoryStore())


@pytest.fixture
def store(raw: CountingStore) -> SafeStore:
    return SafeStore(raw)


def test_a_job_without_a_key_costs_one_put(store: SafeStore, raw: CountingStore) -> None:
    made = submission({"prompt": "a fox"})

    assert put(store, made, keyed=False)
    assert raw.calls == {"PUT": 1}
    assert _body(store, made.key) == made.body


def test_the_same_order_again_is_no_new_job(store: SafeStore) -> None:
    made = submission({"prompt": "a fox"})

    assert [put(store, made, keyed=True) for _ in range(2)] == [True, False]
    assert _body(store, made.key) == _body(store, manifest_key(ID)) == made.body


@pytest.mark.parametrize("other", [{"prompt": "an owl"}, {"prompt": "a fox", "priority": 9}])
def test_another_body_is_a_conflict_also_under_another_inbox_key(
    store: SafeStore, other: dict[str, Any]
) -> None:
    made = submission({"prompt": "a fox"})
    put(store, made, keyed=True)

    with pytest.raises(IdConflict):
        put(store, submission(other), keyed=True)
    assert [entry.key for entry in store.list("inbox/").entries] == [made.key]


def test_another_kind_is_a_conflict_also_after_the_job_was_taken(store: SafeStore) -> None:
    made = submission({"prompt": "a fox"})
    put(store, made, keyed=True)
    store.delete(made.key)

    with pytest.raises(IdConflict):
        put(store, submission({"prompt": "a fox"}, "flux-schnell"), keyed=True)


def test_pictures_are_there_before_the_job_is(store: SafeStore, raw: CountingStore) -> None:
    made = face("https://pictures.example/face.png")
    seen: list[bool] = []
    raw.fail = lambda call, key: (
        seen.append(_body(SafeStore(raw._store), made.images[0].key) is not None)
        if (call, key) == ("PUT", made.key)
        else None
    )

    put(store, made, keyed=False)

    assert seen == [True]
    stored = store.get(made.images[0].key)
    assert stored is not None
    assert hashlib.sha256(stored.body).hexdigest() in made.images[0].key


def test_an_entry_that_was_never_written_can_be_written_later(store: SafeStore) -> None:
    made = submission({"prompt": "a fox"})

    for _ in range(2):
        put_again(store, made)

    assert _body(store, made.key) == made.body


def _body(store: SafeStore, key: str) -> bytes | None:
    stored = store.get(key)
    return None if stored is None else stored.body


def test_a_prompt_that_nobody_can_see_is_refused() -> None:
    with pytest.raises(InvalidField, match="no character that can be seen") as caught:
        submission({"prompt": "\u200b\u3164"})
    assert caught.value.field == "prompt"
