from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from config.errors import EngineUnavailable
from config.models import ModelTable, load_models
from config.routes import Route, RouteTable, load_routes
from config.settings import Settings
from pipeline.doctor import Health, Row
from pipeline.modal_app import modal_check, resources
from pipeline.modal_app.resources import VolumeVersion
from pipeline.models.hub import HuggingFace
from tests.support.model_hub import TOKEN, HubFile, ModelHub, model_hub

MODELS = load_models()
WEIGHTS = {f"{each.folder}/{each.file}": each.bytes or 1 for each in modal_check.in_use(MODELS)}


@dataclass
class Account:
    """What a Modal account has."""

    token: bool = True
    secrets: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {each.name: each.keys for each in resources.SECRETS.values()}
    )
    volumes: dict[str, dict[str, int]] = field(
        default_factory=lambda: {
            each.name: dict(WEIGHTS) if each is resources.WEIGHTS else {}
            for each in resources.VOLUMES.values()
        }
    )

    def reach(self) -> None:
        if not self.token:
            raise EngineUnavailable("no token", hint="modal token new")

    def lacks(self, secret: str, keys: Sequence[str]) -> tuple[str, ...] | None:
        there = self.secrets.get(secret)
        return None if there is None else tuple(key for key in keys if key not in there)

    def has_volume(self, name: str, version: VolumeVersion) -> bool:
        return name in self.volumes

    def files(self, volume: str, version: VolumeVersion) -> Mapping[str, int]:
        return self.volumes[volume]


def rows(account: Account) -> dict[str, Row]:
    return {row.check: row for row in modal_check.of_account(account, MODELS)}


def test_an_account_with_everything_lacks_nothing() -> None:
    assert {row.health for row in rows(Account()).values()} == {Health.OK}


def test_without_a_token_nothing_else_is_asked() -> None:
    (row,) = rows(Account(token=False)).values()
    assert (row.check, row.health, row.fix) == ("token", Health.FAILED, "modal token new")


def test_a_secret_that_is_missing_is_named_with_the_command_that_makes_it() -> None:
    account = Account()
    del account.secrets["ryla-bucket"]
    row = rows(account)["secret ryla-bucket"]
    assert row.health is Health.FAILED
    assert row.fix == (
        "modal secret create ryla-bucket"
        " RYLA_BUCKET=... RYLA_ACCESS_KEY_ID=... RYLA_SECRET_ACCESS_KEY=..."
    )


def test_a_secret_without_a_key_says_which_one() -> None:
    account = Account()
    account.secrets["ryla-api-keys"] = ("RYLA_DOORBELL_TOKEN",)
    row = rows(account)["secret ryla-api-keys"]
    assert row.health is Health.FAILED
    assert "without RYLA_API_KEYS" in row.found
    assert "--force" in str(row.fix)


def test_volumes_need_not_be_there_the_deploy_makes_them() -> None:
    account = Account(volumes={})
    found = rows(account)
    assert found["volume ryla-loras"].health is Health.OK
    assert found["volume ryla-loras"].fix == "modal volume create ryla-loras --version 2"
    assert found["weights"].health is Health.WARNING


@pytest.mark.parametrize("size", [None, 17])
def test_a_weight_file_that_is_missing_or_cut_is_downloaded(size: int | None) -> None:
    account, path = Account(), "diffusion_models/flux1-dev.safetensors"
    there = account.volumes["ryla-models"]
    there.pop(path)
    if size is not None:
        there[path] = size
    row = rows(account)["weights"]
    assert row.health is Health.WARNING
    assert path in row.found
    assert row.fix == modal_check.DOWNLOAD


def test_a_checkpoint_of_the_operators_is_put_there_by_hand() -> None:
    mine = {
        "weights": {
            "mine": {
                **MODELS.weights_by_name["flux1-dev"].model_dump(exclude={"name"}),
                "file": "mine.safetensors",
                "repository": None,
            }
        },
        "sets": {},
    }
    raw = MODELS.model_dump(by_alias=True)
    for row in raw["weights"].values():
        row.pop("name", None)
    raw["weights"] |= mine["weights"]
    raw["sets"]["flux-dev-uncensored"] = {**raw["sets"]["flux-dev"], "unet": "mine"}
    found = list(modal_check.of_account(Account(), ModelTable.model_validate(raw)))[-1]
    assert found.fix == "modal volume put ryla-models FILE /diffusion_models/mine.safetensors"


def test_routes_say_what_they_run_on() -> None:
    row = modal_check.of_routes(load_routes())
    assert row.health is Health.OK
    assert "Flux on L40S, A100-80GB, H100" in row.found


def test_a_route_without_a_gpu_cannot_run_on_a_platform() -> None:
    flux: Route = load_routes().route("Flux").model_copy(update={"gpus": ("none",)})
    row = modal_check.of_routes(RouteTable(routes={"Flux": flux}))
    assert (row.health, row.found) == (Health.FAILED, "no GPU for Flux")


@pytest.fixture(scope="module")
def hub() -> Iterator[ModelHub]:
    with model_hub() as hub:
        for weight in modal_check.in_use(MODELS):
            gated = weight.repository == "black-forest-labs/FLUX.1-dev"
            hub.files[f"{weight.repository}/{weight.path}"] = HubFile(b"", gated=gated)
        yield hub


def test_without_a_token_of_the_hub_its_pages_are_named() -> None:
    row = modal_check.of_gates(MODELS, None, None)
    assert row.health is Health.WARNING
    assert "https://huggingface.co/black-forest-labs/FLUX.1-dev" in str(row.fix)
    assert "z_image_turbo" not in str(row.fix)


@pytest.mark.parametrize(("token", "health"), [("hf_of_nobody", Health.FAILED), (TOKEN, Health.OK)])
def test_a_gate_that_is_closed_to_the_token_is_found(
    hub: ModelHub, token: str, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    unpinned = MODELS.model_copy(
        update={
            "weights_by_name": {
                name: row.model_copy(update={"revision": None})
                for name, row in MODELS.weights_by_name.items()
            }
        }
    )
    row = modal_check.of_gates(unpinned, HuggingFace(hub.url), token)
    assert row.health is health, row
    if health is Health.FAILED:
        assert "flux1-dev" in row.found or "ae" in row.found
        assert "https://huggingface.co/black-forest-labs/FLUX.1-dev" in str(row.fix)


def test_the_bytes_of_all_weights_in_use_are_added_up() -> None:
    assert modal_check.weights_gib(MODELS) == pytest.approx(sum(WEIGHTS.values()) / 2**30, rel=1e-6)


def test_another_app_has_secrets_and_volumes_of_its_own() -> None:
    found = {row.check: row for row in modal_check.of_account(Account(), MODELS, "studio")}

    assert found["secret studio-bucket"].health is Health.FAILED
    assert "modal secret create studio-bucket" in str(found["secret studio-bucket"].fix)
    assert found["volume studio-models"].fix == "modal volume create studio-models --version 2"
    assert not any("ryla" in name for name in found)


def test_keys_that_stand_here_must_have_their_form() -> None:
    right = f"acme:{'0' * 64}"
    assert modal_check.of_keys(Settings()) is None
    row = modal_check.of_keys(Settings.model_validate({"api_keys": f"{right},acme:secret"}))
    assert row is not None
    assert (row.health, "part 2 is not" in row.found) == (Health.FAILED, True)
    row = modal_check.of_keys(Settings.model_validate({"api_keys": right}))
    assert row is not None
    assert row.health is Health.OK


def test_half_a_key_pair_is_one_row_of_the_check() -> None:
    row = modal_check.of_settings({"RYLA_ACCESS_KEY_ID": "x"})
    assert row is not None
    assert row.found == "RYLA_ACCESS_KEY_ID is set without RYLA_SECRET_ACCESS_KEY"
    assert modal_check.of_settings({}) is None
    assert modal_check.of_settings(dict.fromkeys(modal_check.KEY_PAIR, "x")) is None
