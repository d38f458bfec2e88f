"""A request body becomes a job in the inbox. Blocks, so it runs in a thread."""

import hashlib
from dataclasses import dataclass
from functools import partial

from config.errors import BadManifest, IdConflict, InvalidInput, MissingInput
from config.settings import Settings
from handlers.character_sheet.input import CharacterSheetInput
from handlers.kinds.registry import lookup
from handlers.media import images
from handlers.media.intake_process import Intake, Patience
from pipeline.api.body import in_body_terms, manifest_of
from pipeline.contract.document import canonical, read_document
from pipeline.contract.keys import (
    clip,
    inbox_key,
    input_sha256,
    intake_key,
    manifest_key,
    parse_inbox_key,
)
from pipeline.contract.manifest import Manifest, parse_manifest
from pipeline.inputs.intake import InputImage, take_in
from pipeline.inputs.remote import Fetch
from pipeline.notify.callbacks import require_callback
from pipeline.sheets.reuse import require_own_sheet
from pipeline.store.conditional import Lost, SafeStore


@dataclass(frozen=True)
class Submission:
    """A job as it will stand in the inbox."""

    id: str
    key: str
    """In the inbox."""
    kind: str
    body: bytes
    manifest: Manifest
    """What `body` says."""
    images: tuple[InputImage, ...] = ()
    pictures: tuple[tuple[str, str], ...] = ()
    """Field and key of each picture that was sent before."""

    @property
    def reuses(self) -> str | None:
        """The job whose views it reuses."""
        asked = self.manifest.input
        reuse = asked.reuse if isinstance(asked, CharacterSheetInput) else None
        return None if reuse is None else reuse.job

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


@dataclass(frozen=True)
class SubmissionParser:
    """Reads bodies for a tenant and a path."""

    settings: Settings
    fetch: Fetch

    def submission(
        self,
        raw: bytes,
        *,
        id: str,
        kind: str,
        tenant: str,
        intake: Intake = images.intake,
        patience: Patience | None = None,
    ) -> Submission:
        """The job that a body asks for, its pictures fetched.

        Raises a BadManifest or InvalidInput, whose fields are those of the body; PictureAbandoned
        once the patience is over; and what `intake` raises.
        """
        fetch = partial(self.fetch, patience=patience)
        body = read_document(raw, max_bytes=len(raw))
        document = manifest_of(kind, tenant, body)
        try:
            taken = take_in(document["input"], lookup(kind).input_model, None, fetch, intake)
            text = canonical({**document, "input": taken.input})
            manifest = parse_manifest(text)
            require_callback(manifest.callback_url, self.settings)
        except (BadManifest, InvalidInput) as error:
            raise in_body_terms(error) from None
        key = inbox_key(id, priority=manifest.priority, tenant=tenant, model=kind)
        return Submission(id, key, kind, text, manifest, taken.images, taken.keys)


def put(store: SafeStore, submission: Submission, *, keyed: bool) -> bool:
    """Whether the job is new. Raises IdConflict when its id has another body.

    An id that nobody else can have takes one PUT. One that comes from an Idempotency-Key is taken
    first, by the copy of the manifest that a dispatcher would write: of two bodies under one id
    exactly one stands there, whatever their priorities and kinds, which make inbox keys differ.
    """
    if keyed:
        outcome = store.create(manifest_key(submission.id), submission.body)
        if isinstance(outcome, Lost):
            raise IdConflict(
                "this Idempotency-Key was used with another body",
                field="Idempotency-Key",
                hint="Use a new key for a new job.",
            )
        if not outcome.fresh:
            return False
    _put_entry(store, submission)
    return True


def put_again(store: SafeStore, submission: Submission) -> None:
    """The inbox entry of a job that was taken in and is nowhere: whoever took it in has died."""
    _put_entry(store, submission)


def _put_entry(store: SafeStore, submission: Submission) -> None:
    """Its pictures first, and that they are the tenant's."""
    tenant = parse_inbox_key(submission.key).tenant
    for image in submission.images:
        store.write(image.key, image.body, image.content_type)
        sha256 = input_sha256(image.key)
        assert sha256 is not None
        assert tenant is not None
        store.write(intake_key(tenant, sha256), image.key.encode(), "text/plain")
    store.create(submission.key, submission.body)


def require_own_job(store: SafeStore, submission: Submission, tenant: str) -> None:
    """Raises InvalidInput where it reuses views of a job that is no ended sheet of this tenant. The
    dispatcher's preflight looks closer."""
    if submission.reuses is None:
        return
    try:
        require_own_sheet(store, submission.reuses, tenant)
    except InvalidInput as error:
        raise in_body_terms(error) from None


def require_own_pictures(store: SafeStore, submission: Submission, tenant: str) -> None:
    """Raises MissingInput for a key of a picture that this tenant has not sent over HTTP, be it
    there or not: whoever knows a key must not get another tenant's picture."""
    for field, key in submission.pictures:
        name, sha256 = field.removeprefix("input."), input_sha256(key)
        if sha256 is None or store.get(intake_key(tenant, sha256), limit=1) is None:
            raise MissingInput(
                f"{name}: {clip(key)} is no picture that you have sent here",
                field=name,
                value=clip(key),
                hint="Send the picture itself, as a data URL; then its key may be named again.",
            )
