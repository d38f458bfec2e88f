"""What a deployment needs and whether it is there: one row a thing, with the command for it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from config.errors import EngineUnavailable, InvalidSetting, ModelError, ModelGated
from config.gpus import NO_GPU
from config.models import ModelTable, WeightFile
from config.routes import RouteTable
from config.settings import Settings
from pipeline.api.auth import Authenticator
from pipeline.doctor import Health, Row
from pipeline.modal_app import resources
from pipeline.modal_app.container_files import APP_FILE
from pipeline.modal_app.resources import VolumeVersion
from pipeline.models.hub import Hub, page
from pipeline.models.sets import GIB, active_sets

DOWNLOAD = f"modal run --detach {APP_FILE}::download_models --accept-licences"


class Account(Protocol):
    """What can be asked of the platform. Each method raises EngineUnavailable."""

    def reach(self) -> None: ...

    def lacks(self, secret: str, keys: Sequence[str]) -> tuple[str, ...] | None: ...

    def has_volume(self, name: str, version: VolumeVersion) -> bool: ...

    def files(self, volume: str, version: VolumeVersion) -> Mapping[str, int]: ...


def of_account(account: Account, models: ModelTable, app: str = resources.APP) -> Iterator[Row]:
    """Token, secrets, volumes, and whether the weights are there, of an app of this name."""
    reached = _guarded("token", lambda: _token(account))
    yield reached
    if reached.health is Health.FAILED:
        return
    for secret in (resources.of_app(each, app) for each in resources.SECRETS.values()):
        yield _guarded(f"secret {secret.name}", partial(_secret, account, secret))
    for volume in (resources.of_app(each, app) for each in resources.VOLUMES.values()):
        yield _guarded(f"volume {volume.name}", partial(_volume, account, volume))
    weights = resources.of_app(resources.WEIGHTS, app)
    yield _guarded("weights", lambda: _weights(account, weights.name, in_use(models)))


def of_routes(routes: RouteTable) -> Row:
    """Their GPU names were checked against gpus.toml when the table was read."""
    idle = sorted(route.name for route in routes.routes.values() if set(route.gpus) == {NO_GPU})
    said = "; ".join(f"{route.name} on {', '.join(route.gpus)}" for route in routes.routes.values())
    if not idle:
        return Row("routes", Health.OK, said)
    return Row(
        "routes",
        Health.FAILED,
        f"no GPU for {', '.join(idle)}",
        "Write gpus = [...] for it into the file of RYLA_ROUTES_FILE.",
    )


def of_gates(models: ModelTable, hub: Hub | None, token: str | None) -> Row:
    """Whether the hub gives this token's account every file. Without one, the pages to look at."""
    files = [weight for weight in in_use(models) if weight.repository is not None]
    pages = sorted({page(weight) for weight in files if not weight.commercial_use})
    if hub is None or not token:
        missing = "HF_TOKEN is not set here" if hub else "huggingface_hub is not installed here"
        return Row(
            "gated models",
            Health.WARNING,
            f"not asked: {missing}",
            f"Sign in and accept the licence where one is asked for: {', '.join(pages)}.",
        )
    gated: dict[str, str] = {}
    for weight in files:
        try:
            hub.look(weight)
        except ModelGated:
            gated[page(weight)] = weight.name
        except ModelError as error:
            return Row("gated models", Health.WARNING, f"{error.code}: {error.message}", error.hint)
    if gated:
        accept = f"Accept the licences on {', '.join(gated)} with the account of the token."
        return Row("gated models", Health.FAILED, f"closed: {', '.join(gated.values())}", accept)
    return Row("gated models", Health.OK, f"all {len(files)} files are open to this token")


def of_keys(settings: Settings) -> Row | None:
    """Whether RYLA_API_KEYS has its form, where it stands here: no secret shows its values."""
    if settings.api_keys is None:
        return None
    try:
        found = Authenticator.of(settings).keys
    except InvalidSetting as error:
        return Row("api keys", Health.FAILED, error.message, error.hint)
    return Row("api keys", Health.OK, f"{len(found)} of the right form")


def of_settings(environ: Mapping[str, str]) -> Row | None:
    """Half a key pair: without it the rest can still be looked at."""
    given = [name for name in KEY_PAIR if environ.get(name, "").strip()]
    if len(given) != 1:
        return None
    (missing,) = set(KEY_PAIR) - set(given)
    return Row("settings", Health.FAILED, f"{given[0]} is set without {missing}", "Set both.")


KEY_PAIR = ("RYLA_ACCESS_KEY_ID", "RYLA_SECRET_ACCESS_KEY")


def in_use(models: ModelTable) -> tuple[WeightFile, ...]:
    """The files of the sets that the kinds of this version use."""
    return tuple(models.files(active_sets(models)).values())


def weights_gib(models: ModelTable) -> float:
    return sum(weight.bytes or 0 for weight in in_use(models)) / GIB


def _guarded(check: str, look: Callable[[], Row]) -> Row:
    try:
        return look()
    except EngineUnavailable as error:
        return Row(check, Health.FAILED, error.message, error.hint)


def _token(account: Account) -> Row:
    account.reach()
    return Row("token", Health.OK, "Modal takes it")


def _secret(account: Account, secret: resources.NamedSecret) -> Row:
    check = f"secret {secret.name}"
    lacks = account.lacks(secret.name, secret.keys)
    if lacks is None:
        return Row(check, Health.FAILED, f"missing: {secret.needed_for}", secret.command)
    if lacks:
        again = f"{secret.command} --force, with all of its keys"
        return Row(check, Health.FAILED, f"without {', '.join(lacks)}", again)
    return Row(check, Health.OK, f"has {', '.join(secret.keys)}; values are not shown to us")


def _volume(account: Account, volume: resources.NamedVolume) -> Row:
    check = f"volume {volume.name}"
    if account.has_volume(volume.name, resources.VOLUME_VERSION):
        return Row(check, Health.OK, volume.holds)
    return Row(check, Health.OK, "not there yet: the deploy makes it", volume.command)


def _weights(account: Account, volume: str, wanted: Iterable[WeightFile]) -> Row:
    if not account.has_volume(volume, resources.VOLUME_VERSION):
        return Row("weights", Health.WARNING, "no volume, so none", DOWNLOAD)
    there = account.files(volume, resources.VOLUME_VERSION)
    missing: list[str] = []
    own: list[str] = []
    for weight in wanted:
        path = f"{weight.folder}/{weight.file}"
        size = there.get(path)
        if size is None or weight.bytes not in (None, size):
            (missing if weight.repository else own).append(path)
    if own:
        put = "; ".join(f"modal volume put {volume} FILE /{path}" for path in own)
        return Row("weights", Health.WARNING, f"your own {', '.join(own)} missing", put)
    if missing:
        return Row("weights", Health.WARNING, f"missing: {', '.join(missing)}", DOWNLOAD)
    return Row("weights", Health.OK, "all files of models.toml, by their length")
