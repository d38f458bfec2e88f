"""The plan of an acceptance: a TOML file that says what is made and with what. docs/accept.md."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from config.errors import InvalidInput
from config.nearest import nearest
from config.validation_errors import first_problem
from handlers.character_sheet.person import MAX_REFERENCES, BaseName
from handlers.kinds.registry import KINDS
from handlers.loras.refs import ById, ByName, LoraRef

RUN = r"^[a-z0-9][a-z0-9-]{0,47}$"
SAMPLED = tuple(name for name in KINDS if name not in ("workflow", "character-sheet"))
"""Kinds of which a job can be written from the plan: a workflow's graph is the caller's own, and a
sheet has a part of its own."""

Target = Literal["flux-instantid on flux-dev", "flux-instantid on z-image-turbo", "sdxl-instantid"]
TARGETS: tuple[Target, ...] = get_args(Target)
BASES: tuple[BaseName, ...] = get_args(BaseName)
Prompt = Annotated[str, Field(min_length=1, max_length=4000)]
Count = Annotated[int, Field(ge=1, le=200)]
Word = Annotated[str, Field(min_length=1, max_length=256)]
Input = Mapping[str, Any]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Making(Part):
    input: Input = {}
    """Further fields of the kind's input, the same in every job of the part."""


class FluxPart(Making):
    prompts: tuple[Prompt, ...] = Field(min_length=1)
    """Taken in turns."""
    pictures: Count = 10
    """A job each."""


class PlannedLora(Part):
    file: Path | None = None
    """Put into the bucket first; without one the LoRA must be there."""
    id: Word | None = None
    name: Word | None = None
    """`lora_id` or `lora_name` of its job; a file without either is named by its stem."""
    trigger_word: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def _can_be_named(self) -> Self:
        if self.id is not None and self.name is not None:
            raise ValueError("give id or name, not both")
        if self.id is None and self.name is None and self.file is None:
            raise ValueError("give a file, or the id or name of a LoRA in the bucket")
        return self

    @property
    def ref(self) -> LoraRef:
        """As a job would name it."""
        if self.id is not None:
            return ById(self.id)
        return ByName(self.name or (self.file.stem if self.file else ""))

    @property
    def fields(self) -> dict[str, str]:
        """Of a job's input."""
        ref = self.ref
        return {"lora_id": ref.id} if isinstance(ref, ById) else {"lora_name": ref.name}


class LoraPart(Making):
    prompt: Prompt
    files: tuple[PlannedLora, ...] = Field(min_length=1)
    """A job each, and the first once more, when it must not be pulled again."""


class FacePart(Making):
    references: tuple[Path, ...] = Field(min_length=1)
    """Pictures of people, relative to the plan; each gets a picture of every target."""
    prompts: tuple[Prompt, ...] = Field(min_length=1)
    """Taken in turns."""
    targets: tuple[Target, ...] = Field(default=TARGETS, min_length=1)


class SheetPart(Making):
    references: tuple[Path, ...] = Field(min_length=1, max_length=MAX_REFERENCES)
    """Pictures of one person, relative to the plan."""
    description: str = Field(default="", max_length=1000)
    """Who that is, as in a prompt."""
    bases: tuple[BaseName, ...] = Field(default=BASES, min_length=1)
    """A sheet on each."""


class HttpPart(Making):
    kinds: tuple[str, ...] | None = None
    """None means every kind that the plan has the means for."""


class GpuPart(Making):
    kind: str = "flux-dev"
    pictures: Annotated[int, Field(ge=2, le=50)] = 3
    """On each GPU, one after the other: the first one starts cold."""


class Plan(Part):
    name: str = Field(pattern=RUN)
    """Ids of jobs begin with it, unless --run gives another."""
    at_once: Annotated[int, Field(ge=1, le=32)] = 2
    """Jobs on their way at a time: two make the platform start a second container."""
    app_idle: bool = False
    """Whether nothing has asked the app for so long that no container of its API runs."""
    max_cost_usd: Annotated[float, Field(gt=0)] | None = None
    """For the whole run: where the estimates are above it nothing is sent, and once it is spent
    nothing more."""
    flux: FluxPart | None = None
    loras: LoraPart | None = None
    faces: FacePart | None = None
    sheets: SheetPart | None = None
    http: HttpPart = HttpPart()
    gpus: GpuPart = GpuPart()

    @model_validator(mode="after")
    def _kinds_can_be_sampled(self) -> Self:
        for kind in (*(self.http.kinds or ()), self.gpus.kind):
            if kind not in SAMPLED:
                raise ValueError(
                    f"no job of the kind {kind!r} is written here: {', '.join(SAMPLED)}"
                )
            if not self.has_means_for(kind):
                part = "[loras]" if kind == "flux-lora" else "[faces]"
                raise ValueError(f"a job of the kind {kind!r} needs {part}")
        return self

    def has_means_for(self, kind: str) -> bool:
        """Whether the parts that its jobs are made from are there."""
        if kind == "flux-lora":
            return self.loras is not None
        return self.faces is not None or not kind.endswith("-instantid")


PARTS = (Plan, FluxPart, LoraPart, PlannedLora, FacePart, SheetPart, HttpPart, GpuPart)
HINT = "docs/accept.md has every field."


@dataclass(frozen=True)
class PlanFile:
    folder: Path
    """That its paths are relative to."""
    plan: Plan


def read_plan(path: Path) -> PlanFile:
    """Raises InvalidInput, also for a file that the plan names and that is not there."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read: {error.strerror}", field="--plan", value=str(path)
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{path} is not TOML: {error}",
            field="--plan",
            value=str(path),
            hint="examples/accept/plan.toml is one to begin with.",
        ) from None
    try:
        plan = Plan.model_validate(document)
    except ValidationError as error:
        raise _invalid(path, error) from None
    for field, file in _files(plan):
        if not (path.parent / file).is_file():
            raise InvalidInput(
                f"{path}: {field}: {file} is not there",
                field=field,
                value=str(file),
                hint="Paths are relative to the plan's folder.",
            )
    return PlanFile(path.parent, plan)


def _files(plan: Plan) -> Iterator[tuple[str, Path]]:
    for lora in plan.loras.files if plan.loras else ():
        if lora.file is not None:
            yield "loras.files.file", lora.file
    for reference in plan.faces.references if plan.faces else ():
        yield "faces.references", reference
    for reference in plan.sheets.references if plan.sheets else ():
        yield "sheets.references", reference


def _invalid(path: Path, error: ValidationError) -> InvalidInput:
    """A misspelt key is also a missing one; its name says more."""
    known = [name for model in PARTS for name in model.model_fields]
    unknown = next((e for e in error.errors() if e["type"] == "extra_forbidden"), None)
    if unknown is not None:
        field = ".".join(map(str, unknown["loc"]))
        meant = nearest(str(unknown["loc"][-1]), known)
        return InvalidInput(
            f"{path}: {field}: unknown key",
            field=field,
            hint=f"Did you mean {meant}?" if meant else HINT,
        )
    problem = first_problem(error)
    field = ".".join(problem.path)
    shown = "" if isinstance(problem.value, dict | None) else f" = {problem.value!r}"
    where = f"{field}{shown}: " if field else ""
    return InvalidInput(
        f"{path}: {where}{problem.message}",
        field=field or None,
        value=problem.value if shown else None,
        hint=HINT,
    )
