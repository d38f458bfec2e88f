"""Character sheets that have ended, as they stand in a bucket, made up without a worker."""

import base64
import hashlib
import io
import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from PIL import Image

from config.models import load_models
from handlers.character_sheet.combinations import Making
from handlers.character_sheet.input import CharacterSheetInput
from handlers.character_sheet.planner import plan_sheet
from handlers.character_sheet.records import (
    AnyRecord,
    Choice,
    Composition,
    Picture,
    RecordedLook,
    RecordedScore,
    SheetRecords,
    Try,
)
from handlers.character_sheet.sheet_plan import PlannedView, SheetPlan
from handlers.kinds.requirements import LoraFile
from pipeline.contract.keys import manifest_key, plan_key, result_key
from pipeline.contract.result import Provenance, Result, Status, UsedLora
from pipeline.sheets.cells import StoredSheet, keep_record
from pipeline.sheets.sheet_end import SheetEnd
from pipeline.store.base import Always
from pipeline.store.conditional import SafeStore
from pipeline.store.memory import MemoryStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MODELS = load_models(None)
BOX = {"x": 1, "y": 1, "width": 90, "height": 90}
SMALL = {"width": 512, "height": 512}
SIZES = {"close_up": SMALL, "half": SMALL, "full": {"width": 512, "height": 576}}


@cache
def picture_bytes(name: str, size: tuple[int, int], format: str = "PNG") -> bytes:
    """Of one colour, and the same for the same arguments."""
    red, green, blue = hashlib.sha256(name.encode()).digest()[:3]
    file = io.BytesIO()
    Image.new("RGB", size, (red, green, blue)).save(file, format)
    return file.getvalue()


@dataclass(frozen=True)
class MadeSheet:
    """What a worker would have left in the bucket."""

    id: str = "ann"
    input: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    """By the id of a view that is missing."""
    base_faces: Sequence[str] = ()
    """Ids of views in which no face was found to be made anew."""
    matches: Mapping[str, float] = field(default_factory=dict)
    """By a view's id; 0.9 unless given."""
    format: str = "PNG"
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By a view's id, of the picture itself; as planned unless given."""
    bodies: Mapping[str, bytes] = field(default_factory=dict)
    """By a view's id."""
    consent: Mapping[str, str] | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    """Changes of it."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    lora: LoraFile | None = None
    apart: Mapping[str, float] | None = None
    """By a view's id, by how many degrees its face is turned from all others', whose similarities
    are cosines; None where no face was recorded."""

    @property
    def plan(self) -> SheetPlan:
        given: dict[str, Any] = {
            "name": "Ann",
            "description": "a woman of 30 with short red hair",
            "sizes": SIZES,
            "min_face_match": 0.8,
            "min_views": 1,
            "output_format": {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp"}[self.format],
        }
        if self.lora is None:
            given["reference_images"] = ["inputs/ann.png"]
        request = CharacterSheetInput.model_validate_json(json.dumps({**given, **self.input}))
        return plan_sheet(request, self.id, MODELS, self.lora)

    @property
    def manifest(self) -> bytes:
        document = {"version": 1, "model": "character-sheet", "input": {"name": "Ann"}}
        if self.consent is not None:
            document["consent"] = dict(self.consent)
        return json.dumps(document).encode()

    def put(self, store: SafeStore) -> Result:
        """Into the bucket, as it is there once the job has ended."""
        plan, records = self.plan, list(self.records())
        store.raw.put(plan_key(self.id), plan.body(), Always())
        store.raw.put(manifest_key(self.id), self.manifest, Always())
        for view in plan.views:
            store.raw.put(self.key(view), self.body(view), Always())
        for record in records:
            keep_record(store, self.id, record)
        result = self.ended(plan, SheetRecords.of(records))
        store.raw.put(result_key(self.id), result.body(), Always())
        return result

    def ended(self, plan: SheetPlan, records: SheetRecords) -> Result:
        end = SheetEnd.of(StoredSheet(plan, records), "not_made", 0.1)
        used = {one.file: one.sha256 for one in plan.composition_weights.values()}
        used |= {one.file: one.sha256 for one in plan.face_weights.values()}
        provenance = {"engine": "comfyui", "models": used, "app_version": "1"} | {**self.provenance}
        if plan.lora is not None:
            provenance["lora"] = UsedLora(key=plan.lora.key, sha256=plan.lora.sha256)
        fields = {
            "id": self.id,
            "status": Status.SUCCEEDED,
            "model": "character-sheet",
            "tenant": "acme",
            "attempt": 1,
            "nonce": "n",
            "manifest_sha256": hashlib.sha256(self.manifest).hexdigest(),
            "finished_at": NOON,
            "provenance": Provenance.model_validate(provenance),
            **end.fields,
        }
        return Result.model_validate({**fields, **self.result})

    def records(self) -> Sequence[AnyRecord]:
        return [record for view in self.plan.views for record in self._records(view)]

    def _records(self, view: PlannedView) -> Sequence[AnyRecord]:
        composed = view.making is Making.COMPOSED or view.id in self.base_faces
        fault = self.faults.get(view.id)
        made = self._composition(view, fault) if composed else self._try(view, fault)
        of = "c" if composed else "t"
        return [made, Choice(number=view.nn, view=view.id, k=1, of=of, fault=fault)]

    def _composition(self, view: PlannedView, fault: str | None) -> Composition:
        unmeasured = "unmeasured" if view.id in self.base_faces else None
        return Composition(**self._made(view, fault), reason=unmeasured)

    def _try(self, view: PlannedView, fault: str | None) -> Try:
        match = self.matches.get(view.id, 0.9)
        score = {"similarity": match, "match": match, "embedder": "e", "faces_found": 1, "box": BOX}
        measured = {"yaw": view.head.yaw if view.head else 0.0, "framing": view.framing.value}
        return Try(
            **self._made(view, fault),
            score=RecordedScore.model_validate(score),
            measured=measured,
        )

    def _made(self, view: PlannedView, fault: str | None) -> dict[str, Any]:
        body = self.body(view)
        width, height = self._size(view)
        picture = Picture(
            key=self.key(view),
            bytes=len(body),
            sha256=hashlib.sha256(body).hexdigest(),
            width=width,
            height=height,
            content_type=f"image/{self.format.lower()}",
        )
        return {
            "number": view.nn,
            "view": view.id,
            "k": 1,
            "seed": view.seeds[0],
            "picture": picture,
            "seconds": 1.0,
            "fault": fault,
            "engine": "comfyui",
            "look": self._look(view),
        }

    def _look(self, view: PlannedView) -> RecordedLook | None:
        if self.apart is None or view.head is None:
            return None
        turned = math.radians(self.apart.get(view.id, 0.0))
        packed = base64.b64encode(struct.pack("<2f", math.cos(turned), math.sin(turned)))
        return RecordedLook(
            embedder="e",
            embedder_sha256="0" * 64,
            strangers_mean=0.0,
            same_mean=1.0,
            embedding=packed.decode(),
            yaw=view.head.yaw,
            side=90,
        )

    def key(self, view: PlannedView) -> str:
        return f"jobs/{self.id}/out/a1/{view.name}.{self.format.lower()}"

    def body(self, view: PlannedView) -> bytes:
        given = self.bodies.get(view.id)
        return given or picture_bytes(view.id, self._size(view), self.format)

    def _size(self, view: PlannedView) -> tuple[int, int]:
        return self.sizes.get(view.id, (view.width, view.height))


def memory_store() -> SafeStore:
    return SafeStore(MemoryStore(lambda: NOON))
