"""Is everything there that the pipeline needs? One row a check, each with what to do about it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from uuid import uuid4

from config.errors import RylaError
from config.platforms import LOCAL
from config.settings import Settings, listed
from handlers.comfyui.client import ComfyClient
from handlers.comfyui.environment import allowed
from handlers.comfyui.info import ComfyInfo
from handlers.faces.match import SCORING_PACK
from pipeline.engines.machine import GIB, ServingCard
from pipeline.engines.own_machine import own_machine
from pipeline.local.seaweed import weed_binary
from pipeline.models.activation import models_in_use
from pipeline.models.face_packs import faces_folder, is_there, scoring_pack
from pipeline.models.sets import active_sets, forbidden
from pipeline.notify.callbacks import require_alarm_secret
from pipeline.notify.posthog_check import check_posthog
from pipeline.notify.sinks import events_file
from pipeline.runtime import load_runtime
from pipeline.store.bucket_suite import Finding, run_suite
from pipeline.store.conditional import SafeStore
from pipeline.store.open import open_store
from pipeline.store.probe import probe
from pipeline.store.s3 import S3Store
from workflows import interfaces

VERSION_SECONDS = 30.0
RECEIVERS_S = 300.0
"""As much as a receiver of callbacks may let a time differ from its own."""
DEAF_S = 0.001
"""So soon no reply comes."""


class Health(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """Jobs run all the same."""
    FAILED = "failed"


@dataclass(frozen=True)
class Row:
    """One check, and what it found."""

    check: str
    health: Health
    found: str
    fix: str | None = None
    """What to do about it; None where there is nothing to do."""


def run_checks(settings: Settings, environ: dict[str, str]) -> Iterator[Row]:
    """All checks that need settings, in an order in which the first failure explains the next."""
    yield _guarded("tables", lambda: _tables(settings))
    yield from bucket_rows(settings)
    yield _guarded("ComfyUI", lambda: _comfyui(settings, environ))
    yield _guarded("GPUs", lambda: _gpus(settings, environ))
    yield _guarded("licences", lambda: _licences(settings))
    yield _face_models(settings)
    yield _posthog(settings)
    yield _seaweed()


def _tables(settings: Settings) -> Row:
    """Those of the operator, with all names in them."""
    runtime = load_runtime(settings, settings.engine)
    require_alarm_secret(runtime.budgets, settings)
    names = ("gpus_file", "routes_file", "models_file", "budgets_file")
    own = [path.name for name in names if (path := getattr(settings, name)) is not None]
    bounded = len(runtime.budgets.budgets)
    found = f"{', '.join(own) or 'as packaged'}; {bounded} budget{'' if bounded == 1 else 's'}"
    return Row("tables", Health.OK, found)


def bucket_rows(settings: Settings) -> Iterator[Row]:
    """Writes and removes one object."""
    store = open_store(settings)
    where = f"{settings.bucket} at {settings.endpoint_url or 'AWS'}"
    reached = _guarded("bucket", lambda: Row("bucket", Health.OK, f"{where}: {_reach(store)}"))
    yield reached
    if reached.health is Health.OK:
        yield _guarded("conditional writes", lambda: _conditional(store))
        yield _guarded("clock", lambda: _clock(store))


def run_bucket_suite(settings: Settings, rounds: int = 10) -> Iterator[Finding]:
    """Tries on the bucket all that the queue rests on. Writes under checks/, and removes it.

    Raises a StoreError when the bucket cannot be listed: SeaweedFS would create it with the first
    write.
    """
    _reach(open_store(settings))
    deaf = S3Store(settings, read_timeout_s=DEAF_S)
    return run_suite(S3Store(settings), deaf, rounds=rounds)


def _guarded(check: str, look: Callable[[], Row]) -> Row:
    try:
        return look()
    except RylaError as error:
        return Row(check, Health.FAILED, f"{error.code}: {error.message}", error.hint)


def _reach(store: SafeStore) -> str:
    store.list("inbox/", limit=1)
    return "answers"


def _conditional(store: SafeStore) -> Row:
    """Each promise is tried on a key of our own."""
    broken = [item.promise for item in probe(store.raw, uuid4().hex) if not item.kept]
    if not broken:
        deletes = (
            "DELETE as well"
            if store.deletes_conditionally()
            else "DELETE is not: a body put for a used id at the wrong moment goes unfiled"
        )
        return Row("conditional writes", Health.OK, f"really conditional; {deletes}")
    return Row(
        "conditional writes",
        Health.FAILED,
        f"not so: {'; '.join(broken)}",
        "Use S3, R2, MinIO or SeaweedFS: on this store jobs would be lost and paid twice.",
    )


def _clock(store: SafeStore) -> Row:
    """A store without a Date header fails the bucket's check before this one."""
    skew = (store.raw.list("leases/", limit=1).date - datetime.now(UTC)).total_seconds()
    said = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the store's"
    found = f"the store sends Date; this machine's clock is {said}"
    if abs(skew) <= RECEIVERS_S:
        return Row("clock", Health.OK, f"{found}, which does not matter")
    return Row(
        "clock",
        Health.WARNING,
        f"{found}: the queue goes by the store's. Signed URLs go by this machine's, and receivers"
        " of callbacks hold the store's against their own",
        "Set both by a time server.",
    )


def _comfyui(settings: Settings, environ: dict[str, str]) -> Row:
    if settings.comfyui_url is not None:
        return _running_comfyui(settings.comfyui_url)
    if settings.comfyui_dir is not None:
        python = settings.comfyui_python or Path(sys.executable)
        return _comfyui_folder(settings.comfyui_dir, python, environ)
    return Row(
        "ComfyUI",
        Health.OK,
        "the stand-in, whose pictures no model made; RYLA_COMFYUI_DIR or RYLA_COMFYUI_URL name one",
    )


def _running_comfyui(url: str) -> Row:
    with ComfyClient(url) as client:
        machine = ComfyInfo.of(client.system_stats())
        live = interfaces.from_object_info(client.object_info(), machine.comfyui_version or "?")
    ours = interfaces.committed()
    found = f"{machine.engine} {live.comfyui_version} on {machine.device}"
    missing = sorted(set(ours.nodes) - set(live.nodes))
    if missing:
        return Row(
            "ComfyUI",
            Health.WARNING,
            f"{found}, without the nodes {', '.join(missing)}",
            "Kinds that need them are refused; update ComfyUI or install the node packs.",
        )
    changed = sorted(name for name in ours.nodes if live.nodes[name] != ours.nodes[name])
    if changed:
        return Row(
            "ComfyUI",
            Health.WARNING,
            f"{found}; our interfaces are of {ours.comfyui_version}, and these differ:"
            f" {', '.join(changed)}",
            f"Graphs are checked against {ours.comfyui_version}; use that version if one fails.",
        )
    return Row("ComfyUI", Health.OK, f"{found}; the node interfaces are ours")


def _comfyui_folder(folder: Path, python: Path, environ: dict[str, str]) -> Row:
    """Without starting it."""
    if not (folder / "main.py").is_file():
        return Row(
            "ComfyUI",
            Health.FAILED,
            f"{folder} has no main.py",
            "Set RYLA_COMFYUI_DIR to the folder that ComfyUI was cloned into.",
        )
    try:
        done = subprocess.run(
            [str(python), "--version"],
            env=allowed(environ),
            capture_output=True,
            text=True,
            timeout=VERSION_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Row(
            "ComfyUI",
            Health.FAILED,
            f"{python} does not run: {error}",
            "Set RYLA_COMFYUI_PYTHON to the interpreter that has ComfyUI's requirements.",
        )
    return Row("ComfyUI", Health.OK, f"{folder}, with {done.stdout.strip()}; not started")


def _gpus(settings: Settings, environ: dict[str, str]) -> Row:
    """Which routes the GPUs of this machine serve."""
    if LOCAL not in {settings.engine, *listed(settings.platforms)}:
        return Row("GPUs", Health.OK, f"this machine runs no jobs: they go to {settings.engine}")
    machine = own_machine(load_runtime(settings, LOCAL), environ)
    served = "; ".join(map(_card, machine.cards))
    if not machine.misfits:
        return Row("GPUs", Health.OK, served)
    found = "; ".join([served, *(each.message for each in machine.misfits)])
    return Row("GPUs", Health.WARNING, found, " ".join(each.hint for each in machine.misfits))


def _card(each: ServingCard) -> str:
    routes = ", ".join(each.shares) or "no route"
    if each.card.memory is None:
        return f"{each.card.title}, of unknown memory: {routes}"
    turns = ", in turns" if each.takes_turns else ""
    return f"{each.card.title}, {each.card.memory / GIB:.1f} GiB: {routes}{turns}"


def _licences(settings: Settings) -> Row:
    if not settings.commercial_use:
        return Row("licences", Health.OK, "RYLA_COMMERCIAL_USE is not set")
    models = models_in_use(settings)
    names = [weight.name for weight in forbidden(models, active_sets(models))]
    if not names:
        return Row("licences", Health.OK, "all weights in use allow commercial use")
    return Row(
        "licences",
        Health.FAILED,
        f"no commercial use is allowed of {', '.join(names)}",
        "Agree with their makers, and write licence_note into [weights.<name>] of the file of"
        " RYLA_MODELS_FILE.",
    )


def _face_models(settings: Settings) -> Row:
    """Whether their files are there; they are not loaded."""
    folder, scoring = faces_folder(settings), scoring_pack(settings)
    found = [
        pack
        for pack in dict.fromkeys((scoring, settings.instantid_faces_pack))
        if is_there(folder, pack)
    ]
    if scoring in found:
        return Row("face models", Health.OK, f"{', '.join(found)}; packs lie in {folder}")
    return Row(
        "face models",
        Health.OK if not found else Health.WARNING,
        f"{scoring} is not there: faces get no score"
        + ("" if found else ", and flux-instantid is refused"),
        f"Run `ryla models pull {SCORING_PACK}`; packs lie in {folder}.",
    )


def _posthog(settings: Settings) -> Row:
    if settings.posthog_api_key is None:
        return Row("PostHog", Health.OK, f"no key: events go to {events_file(settings)}")
    finding = check_posthog(settings)
    health = Health.OK if finding.fix is None else Health.WARNING
    return Row("PostHog", health, finding.found, finding.fix)


def _seaweed() -> Row:
    try:
        return Row("SeaweedFS", Health.OK, f"{weed_binary()}, for `ryla up` and `ryla demo`")
    except RylaError as error:
        found = f"{error.message}; `ryla up` and `ryla demo` need it"
        return Row("SeaweedFS", Health.WARNING, found, error.hint)
