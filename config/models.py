"""models.toml: files of weights, and the sets that kinds load."""

import hashlib
from collections.abc import Container, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from config.errors import MissingModel
from config.tables import Row, Rows, load_table


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


Hex40 = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EmptyIsNone = BeforeValidator(_none_if_empty)


class WeightFile(Row):
    """One file of weights: where ComfyUI looks for it and where it comes from."""

    name: str
    folder: str = Field(pattern=r"^[a-z0-9_]+$")
    """Folder under ComfyUI's models/."""
    file: str
    """As nodes name it; a subfolder is allowed."""
    family: Literal["flux", "sdxl", "z-image", "face"]
    """Of the base model; `face` for what finds or compares faces."""
    repository: Annotated[str | None, EmptyIsNone] = None
    path: Annotated[str | None, EmptyIsNone] = None
    """Path in the repository. Without a repository, the operator supplies the file."""
    revision: Annotated[Hex40 | None, EmptyIsNone] = None
    """Commit of the repository."""
    bytes: Annotated[int | None, Field(gt=0)] = None
    sha256: Annotated[Hex64 | None, EmptyIsNone] = None
    licence: str
    terms: str | None = None
    """What the licence's name does not tell."""
    commercial_use: bool
    licence_note: Annotated[str | None, EmptyIsNone] = None
    """Where the operator keeps the agreement that allows commercial use all the same."""
    sizes: Mapping[str, int] | None = None
    """Of a model that is not of its family's usual size; what a LoRA must fit is told from them."""
    verified: bool = False
    """Whether bytes and sha256 were checked on a file downloaded for this table."""

    @property
    def base_name(self) -> str:
        """Without subfolder: the name that callers may use, whichever version of it is in use."""
        return PurePosixPath(self.file).name

    @model_validator(mode="after")
    def _inside_its_folder(self) -> Self:
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts or "\\" in self.file or not self.file:
            raise ValueError(f"file {self.file!r} leaves its folder")
        return self


class ModelTable(Row):
    weights_by_name: Rows[WeightFile] = Field(alias="weights")
    sets: Mapping[str, Mapping[str, str]]
    """Set name → role in the graph → name of a weight file."""

    @model_validator(mode="after")
    def _sets_name_weights(self) -> Self:
        for set_name, roles in self.sets.items():
            for role, name in roles.items():
                if name not in self.weights_by_name:
                    raise ValueError(f"[sets.{set_name}] {role} names no [weights.{name}]")
        return self

    def weights(self, set_name: str) -> Mapping[str, WeightFile]:
        """Role → file of a set ("flux-dev" → unet, clip_l, t5, vae). Raises MissingModel."""
        roles = self.sets.get(set_name)
        if not roles:
            raise MissingModel(
                f"models.toml lists no weights for {set_name!r}",
                field="model",
                value=set_name,
                hint=f"Write [sets.{set_name}] and its [weights.*] rows into a file and name it"
                " in RYLA_MODELS_FILE.",
            )
        return {role: self.weights_by_name[name] for role, name in roles.items()}

    def files(self, set_names: Iterable[str]) -> Mapping[str, WeightFile]:
        """The files of these sets by name, in the table's order. Raises MissingModel."""
        wanted = {weight.name for name in set_names for weight in self.weights(name).values()}
        return {name: row for name, row in self.weights_by_name.items() if name in wanted}

    def fingerprints(self, files: Container[str]) -> dict[str, str]:
        """Of each set whose files are all among these, as nodes name them."""
        return {
            name: self.fingerprint(name)
            for name, roles in self.sets.items()
            if roles and all(self.weights_by_name[each].file in files for each in roles.values())
        }

    def fingerprint(self, set_name: str) -> str:
        """Raises MissingModel."""
        return fingerprint(self.weights(set_name))


def fingerprint(roles: Mapping[str, WeightFile]) -> str:
    """sha256 over a set's roles, files, revisions and checksums."""
    lines = (
        f"{role} {weight.folder}/{weight.base_name} {weight.revision} {weight.sha256}\n"
        for role, weight in sorted(roles.items())
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def load_models(path: Path | None = None) -> ModelTable:
    """models.toml, with `path` laid over it. Raises InvalidSetting."""
    return load_table("models.toml", path, ModelTable)
