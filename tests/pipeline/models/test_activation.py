from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.errors import ModelError, ModelNotFound, ModelsChanged
from config.models import ModelTable, WeightFile, load_models
from config.settings import Settings
from pipeline.models.activation import activate, candidate, changes, models_in_use, roll_back
from pipeline.models.add import add
from pipeline.models.models_folder import State
from pipeline.models.versions import append, files_kept, history, latest
from pipeline.runtime import load_runtime
from tests.pipeline.models.test_versions import version
from tests.support.safetensors_files import Spec, safetensors

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TABLE = """\
[weights.tiny]
folder = "checkpoints"
file = "tiny.safetensors"
family = "flux"
revision = "{revision}"
bytes = 3
licence = "{licence}"
commercial_use = true

[weights.tiny_vae]
folder = "vae"
file = "tiny-vae.safetensors"
family = "flux"
licence = "acme"
commercial_use = true

[sets.tiny]
checkpoint = "tiny"
vae = "tiny_vae"
"""


class Deployment:
    """A models folder and a models.toml of one's own."""

    def __init__(self, root: Path) -> None:
        self.table, self.folder = root / "models.toml", root / "models"
        self.settings = Settings(models_file=self.table, models_dir=self.folder)
        self.say("1")

    def say(self, revision: str, licence: str = "acme") -> None:
        self.table.write_text(TABLE.format(revision=revision * 40, licence=licence))

    @property
    def candidate(self) -> ModelTable:
        return candidate(self.table, self.folder)

    def pull(self) -> None:
        for weight in self.candidate.weights("tiny").values():
            path = self.folder / weight.folder / weight.file
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_bytes((weight.revision or "vae").encode()[:3])

    def update(self, revision: str) -> None:
        self.say(revision)
        self.pull()
        activate(self.candidate, ["tiny"], self.folder, NOON)

    @property
    def used(self) -> WeightFile:
        return models_in_use(self.settings).weights("tiny")["checkpoint"]

    def content(self) -> bytes:
        return (self.folder / self.used.folder / self.used.file).read_bytes()


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def test_without_a_version_the_table_itself_is_in_use(deployment: Deployment) -> None:
    assert models_in_use(deployment.settings) == load_models(deployment.table)
    assert models_in_use(Settings()) == load_models()


def test_what_was_activated_stays_in_use_until_the_next_activation(deployment: Deployment) -> None:
    deployment.update("1")
    deployment.say("2")
    deployment.pull()

    assert deployment.used.revision == "1" * 40
    assert load_runtime(deployment.settings, "local").models.weights("tiny")["checkpoint"] == (
        deployment.used
    )

    activate(deployment.candidate, ["tiny"], deployment.folder, NOON)
    assert (deployment.used.revision, deployment.content()) == ("2" * 40, b"222")


def test_the_way_back_needs_no_download_and_goes_further_each_time(deployment: Deployment) -> None:
    for revision in "123":
        deployment.update(revision)

    seen = []
    for _ in range(2):
        roll_back(deployment.folder, NOON)
        seen.append(deployment.content())

    assert seen == [b"222", b"111"]
    with pytest.raises(ModelError, match="no earlier version"):
        roll_back(deployment.folder, NOON)
    assert roll_back(deployment.folder, NOON, to=3).back_to == 3
    assert deployment.content() == b"333"
    roll_back(deployment.folder, NOON)
    assert deployment.content() == b"222"


def test_a_rollback_names_an_entry_that_is_there(deployment: Deployment) -> None:
    with pytest.raises(ModelError, match="no version was ever activated"):
        roll_back(deployment.folder, NOON)
    deployment.update("1")

    with pytest.raises(ModelError, match="no other version 7"):
        roll_back(deployment.folder, NOON, to=7)
    with pytest.raises(ModelError, match="no other version 1"):
        roll_back(deployment.folder, NOON, to=1)


def test_a_version_whose_files_are_not_here_is_not_activated(deployment: Deployment) -> None:
    with pytest.raises(ModelNotFound, match=r"tiny\.safetensors \(missing\)"):
        activate(deployment.candidate, ["tiny"], deployment.folder, NOON)
    deployment.pull()
    (deployment.folder / "checkpoints/tiny.safetensors").write_bytes(b"short of it")

    with pytest.raises(ModelNotFound, match="it has 11 bytes"):
        activate(deployment.candidate, ["tiny"], deployment.folder, NOON)
    assert history(deployment.folder) == []


def test_a_version_whose_files_were_removed_is_not_gone_back_to(deployment: Deployment) -> None:
    deployment.update("1")
    deployment.update("2")
    (deployment.folder / "checkpoints/tiny.safetensors").unlink()

    with pytest.raises(ModelNotFound, match=r"tiny\.safetensors"):
        roll_back(deployment.folder, NOON)
    assert deployment.used.revision == "2" * 40


def test_what_is_in_use_already_makes_no_entry(deployment: Deployment) -> None:
    deployment.update("1")

    assert activate(deployment.candidate, ["tiny"], deployment.folder, NOON) is None
    assert len(history(deployment.folder)) == 1


def test_other_sets_stay_as_they_are(deployment: Deployment) -> None:
    append(deployment.folder, version(1, other={"unet": deployment.used}))
    deployment.pull()

    made = activate(deployment.candidate, ["tiny"], deployment.folder, NOON)

    assert made is not None
    assert sorted(made.sets) == ["other", "tiny"]


def test_somebody_who_decided_on_an_older_state_is_told(deployment: Deployment) -> None:
    deployment.pull()
    made = activate(deployment.candidate, ["tiny"], deployment.folder, NOON)
    assert made is not None

    with pytest.raises(ModelsChanged, match="version 1 meanwhile"):
        append(deployment.folder, made)


def test_changes_are_told_role_by_role(deployment: Deployment) -> None:
    deployment.update("1")
    deployment.say("2", licence="acme-2")
    last = latest(deployment.folder)
    assert last is not None

    after = {"tiny": deployment.candidate.weights("tiny")}
    found = {each.role: each for each in changes(last.sets, after, deployment.folder)}

    assert not found["vae"].differs
    checkpoint = found["checkpoint"]
    assert checkpoint.differs
    assert checkpoint.before is not None
    assert checkpoint.after is not None
    assert (checkpoint.before.licence, checkpoint.after.licence) == ("acme", "acme-2")
    assert checkpoint.after.file == "222222222222/tiny.safetensors"
    assert checkpoint.here is not None
    assert (checkpoint.here.state, checkpoint.to_download) == (State.MISSING, 3)
    deployment.pull()
    again = {each.role: each for each in changes(last.sets, after, deployment.folder)}
    assert again["checkpoint"].to_download == 0


def test_an_own_checkpoint_that_is_added_again_does_not_replace_the_one_in_use(
    deployment: Deployment, tmp_path: Path
) -> None:
    def register(content: int) -> WeightFile:
        file = tmp_path / f"{content}.safetensors"
        file.write_bytes(safetensors({"double_blocks.0.x": Spec((content, 4), "F16")}))
        added = add(
            file,
            "flux-dev-uncensored",
            load_models(),
            deployment.folder,
            licence="mine",
            commercial_use=True,
            on_bytes=lambda done: None,
            kept=files_kept(deployment.folder),
        )
        row = added.changes["weights", "flux-dev-uncensored"]
        assert (deployment.folder / "diffusion_models" / str(row["file"])) == added.path
        return WeightFile.model_validate({"name": "flux-dev-uncensored", **row})

    first = register(4)
    append(deployment.folder, version(1, own={"unet": first}))
    second = register(5)

    assert second.file == f"{(second.sha256 or '')[:12]}/flux-dev-uncensored.safetensors"
    assert (deployment.folder / "diffusion_models" / first.file).stat().st_size == first.bytes
