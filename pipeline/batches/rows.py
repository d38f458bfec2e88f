"""The rows of a file as jobs: each is judged as the dispatcher will judge it, before any is sent.

A job's id is made of the batch's name, the row's number and the character, so the same file gives
the same jobs again.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from config.errors import BadManifest, InvalidRow, MissingInput, RylaError, StoreError
from pipeline.batches.batch import BatchRow
from pipeline.batches.character_file import FileRow
from pipeline.batches.columns import columns, document_of, unknown_columns
from pipeline.batches.problems import Problems, row_problem
from pipeline.contract.document import canonical, read_document
from pipeline.contract.manifest import Manifest, parse_manifest
from pipeline.costs import Estimate
from pipeline.dispatcher.preflight import check_work, require_wanted
from pipeline.inputs.intake import fetch_nothing
from pipeline.inputs.remote import Fetch
from pipeline.inputs.supplies import required_inputs
from pipeline.jobs.manifest_files import Source
from pipeline.jobs.submit import Options, Prepared, prepare
from pipeline.loras.fetch import check_lora
from pipeline.runtime import RuntimeConfig
from pipeline.store.conditional import SafeStore

MAX_JOB_ID = 88
"""Characters: a job that is made of it, such as its second redo, has an ending behind it."""


def job_id(batch: str, row: int, character: str) -> str:
    """`autumn-002-ann`: the same for the same row of the same batch."""
    plain = unicodedata.normalize("NFKD", character.casefold()).encode("ascii", "ignore").decode()
    slug = re.sub("[^a-z0-9]+", "-", plain).strip("-")
    if not slug:
        slug = sha256(character.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{batch}-{row:03}-{slug}"[:MAX_JOB_ID].rstrip("-")


@dataclass(frozen=True)
class SheetRow:
    """A row that can be sent. Its pictures stay where they are until then."""

    entry: BatchRow
    source: Source
    """Its manifest, with pictures as they were named."""
    estimate: Estimate
    max_cost_usd: float | None
    sha256_without_batch: str
    """Of its manifest without `batch`, which those of batches before that field do not have."""

    @property
    def id(self) -> str:
        return self.entry.id

    @property
    def most_usd(self) -> float | None:
        """That it may cost; a sheet stops at its own budget."""
        most = self.estimate.most_usd
        return most if most is None or self.max_cost_usd is None else min(most, self.max_cost_usd)


@dataclass(frozen=True)
class RowChecker:
    """Judges the rows of a file for a batch."""

    store: SafeStore
    """Asked for LoRAs and pictures that are named by key; nothing is written."""
    runtime: RuntimeConfig
    batch: str
    tenant: str
    path: Path
    """Of the file: pictures are relative to its folder."""
    fetch: Fetch = fetch_nothing
    """Gets pictures that are named by a URL."""
    threads: int = 1

    def check(self, rows: Sequence[FileRow], problems: Problems) -> tuple[SheetRow, ...]:
        """The rows that can be sent; what is wrong with the others goes to `problems`.

        Raises a StoreError, which says nothing of the rows.
        """
        unknown_columns(rows, problems)
        documents = [(row, document_of(row, problems)) for row in rows]
        _same_characters(documents, problems)
        needs = _Needs(self.store, self.runtime, self.tenant)
        now = self.store.now()
        fit = [(row.row, document) for row, document in documents if document is not None]
        if not fit:
            return ()
        with ThreadPoolExecutor(self.threads, "rows") as pool:
            judged = list(pool.map(partial(self._judge, needs, now), *zip(*fit, strict=True)))
        for each in judged:
            if not isinstance(each, SheetRow):
                problems.found += each
        return tuple(each for each in judged if isinstance(each, SheetRow))

    def prepare(self, source: Source) -> Prepared:
        """The job with its pictures. Raises a BadManifest or InvalidInput."""
        return prepare(source, Options(tenant=self.tenant, fetch=self.fetch))

    def _judge(
        self, needs: "_Needs", now: datetime, row: int, given: Mapping[str, Any]
    ) -> SheetRow | list[InvalidRow]:
        character = str(given["input"].get("name", ""))
        id = job_id(self.batch, row, character)
        body = canonical({**given, "batch": self.batch})
        source = Source(f"row {row}", self.path.parent, body, id)
        try:
            job = self.prepare(source)
            manifest = parse_manifest(job.body)
            require_wanted(manifest, self.runtime, now)
            estimate = check_work(id, manifest, self.runtime)
            needs.require(manifest, brought={image.key for image in job.images})
        except StoreError:
            raise
        except RylaError as error:
            others = error.others if isinstance(error, BadManifest) else ()
            return [_of_row(row, each) for each in (error, *others)]
        entry = BatchRow(
            row=row,
            id=id,
            character=character,
            manifest_sha256=job.sha256,
            estimate_usd=estimate.usd,
        )
        document = read_document(job.body)
        del document["batch"]
        former = sha256(canonical(document)).hexdigest()
        return SheetRow(entry, source, estimate, manifest.max_cost_usd, former)


class _Needs:
    """What rows need from the bucket; each thing is asked for once, or a few times at once."""

    def __init__(self, store: SafeStore, runtime: RuntimeConfig, tenant: str) -> None:
        self._store, self._runtime, self._tenant = store, runtime, tenant
        self._known: dict[object, RylaError | None] = {}

    def require(self, manifest: Manifest, *, brought: set[str]) -> None:
        """`brought` are keys of pictures that come with the row. Raises MissingInput, a LoraError
        or what else keeps a LoRA from being used."""
        required = required_inputs(manifest, self._runtime)
        for name, key in required.images.items():
            if key not in brought:
                self._once(key, partial(self._picture, name.partition(".")[0], key))
        if required.lora is not None:
            request, prefix = required.lora, self._runtime.settings.lora_prefix
            look = partial(check_lora, self._store, request.ref, request.base, prefix, self._tenant)
            self._once((request.ref, request.base.family), look)

    def _once(self, what: object, look: Callable[[], object]) -> None:
        if what not in self._known:
            try:
                look()
                self._known[what] = None
            except StoreError:
                raise
            except RylaError as error:
                self._known[what] = error
        known = self._known[what]
        if known is not None:
            raise known

    def _picture(self, name: str, key: str) -> None:
        if self._store.get(key, limit=1) is None:
            raise MissingInput(f"{key} is not in the bucket", field=f"input.{name}", value=key)


def _same_characters(
    documents: Sequence[tuple[FileRow, Mapping[str, Any] | None]], problems: Problems
) -> None:
    first: dict[str, int] = {}
    for row, document in documents:
        name = None if document is None else document["input"].get("name")
        if not isinstance(name, str):
            continue
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        other = first.setdefault(plain, row.row)
        if other != row.row:
            problems.add(
                row_problem(
                    row.row,
                    "character",
                    f"row {other} has this character",
                    value=name,
                    hint="Give each row a name of its own, or remove one of them.",
                )
            )


def _of_row(row: int, error: RylaError) -> InvalidRow:
    """An error of a manifest, by the file's columns."""
    field = error.field or ""
    name = _column(field)
    message = error.message.removeprefix(f"{field}: ")
    if name is not None:
        message = message.replace(field, name)
    hint = (error.hint or "").replace("the manifest's folder", "the folder of this file") or None
    return row_problem(row, name, message, value=error.value, hint=hint)


def _column(field: str) -> str | None:
    """The column that holds a manifest's field; None where none does, such as for a whole input."""
    path = tuple(field.split("."))
    by_path = {column.path: name for name, column in columns().items()}
    return next((by_path[path[:n]] for n in (2, 1) if path[:n] in by_path), None)
