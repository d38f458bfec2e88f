"""`ryla loras`: the LoRA files of the bucket."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import InvalidField, InvalidInput, LoraNotFound
from config.settings import Settings
from handlers.loras.bases import Base
from handlers.loras.header import BytesRanges, FileRanges
from handlers.loras.refs import ById, ByName
from pipeline.cli import output
from pipeline.cli.options import Json, StateDir, bucket_settings, load_cli_settings
from pipeline.contract.keys import clip, is_name
from pipeline.loras import library
from pipeline.loras.bucket import Sidecar
from pipeline.loras.library import LoraDescription, describe_file, describe_stored
from pipeline.models.activation import models_in_use
from pipeline.store.open import open_store

HELP = """LoRA files of the bucket: add, list, show, check, remove.

Example:

    ryla loras add ann.safetensors --id ann --trigger-word "ohwx woman"
"""
ADD_HELP = """Check a LoRA file and put it into the bucket, with what is known of it beside it.

It is refused when it is no safetensors file, or would not change every layer that it names: a base
model runs a wrong LoRA without complaint and without effect.

Examples:

    ryla loras add ann.safetensors --id ann --trigger-word "ohwx woman"

    ryla loras add film.safetensors --name styles/film --base z-image-turbo
"""
LIST_HELP = """List the LoRAs of the bucket.

Example:

    ryla loras list
"""
SHOW_HELP = """Show what a LoRA of the bucket is, read off its header.

Examples:

    ryla loras show styles/film

    ryla loras show ann --id
"""
CHECK_HELP = """Check a LoRA file, here or in the bucket, as a job would be checked.

Examples:

    ryla loras check ann.safetensors

    ryla loras check ann --id --base flux-dev
"""
REMOVE_HELP = """Remove a LoRA and what lies beside it from the bucket.

Example:

    ryla loras remove styles/film
"""

ById_ = Annotated[
    bool, typer.Option("--id", help="NAME is a lora_id; it is looked for as a job's is.")
]
BaseName = Annotated[
    str | None,
    typer.Option("--base", metavar="MODEL", help="Base model to fit; else that of its family."),
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="As `ryla loras list` shows it.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")
    _register_add(group)
    _register_list(group)
    _register_show(group)
    _register_check(group)
    _register_remove(group)
    app.add_typer(group, name="loras")


def _register_add(group: typer.Typer) -> None:
    @group.command("add", help=ADD_HELP)
    @output.command
    def add(
        file: Annotated[
            Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The LoRA.")
        ],
        id: Annotated[str | None, typer.Option("--id", help="For jobs that give lora_id.")] = None,
        name: Annotated[
            str | None, typer.Option("--name", help="For jobs that give lora_name [file's name].")
        ] = None,
        version: Annotated[
            str | None, typer.Option("--version", help="For jobs that give lora_version.")
        ] = None,
        trigger_word: Annotated[
            str, typer.Option("--trigger-word", help="Put before the prompt of its jobs.")
        ] = "",
        character: Annotated[
            str | None, typer.Option("--character", help="Whose it is [the id].")
        ] = None,
        tenants: Annotated[
            list[str] | None,
            typer.Option("--tenant", help="May use it; may be given again [everybody]."),
        ] = None,
        base: BaseName = None,
        overwrite: Annotated[
            bool, typer.Option("--replace", help="Overwrite what is there.")
        ] = False,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        if id is not None and name is not None:
            raise typer.BadParameter("--id and --name exclude each other")
        settings = bucket_settings(state_dir)
        ref = ById(id, version) if id is not None else ByName(name or file.stem, version)
        key = library.place(ref, settings.lora_prefix)
        body = _read(file, settings)
        seen = describe_file(key, BytesRanges(body), _known(settings), base)
        if seen.error is not None:
            raise seen.error
        sidecar = Sidecar(
            trigger_word=trigger_word,
            family=seen.lora.family,
            sha256=hashlib.sha256(body).hexdigest(),
            character=character or id,
            tenants=_tenants(tenants),
        )
        library.add(open_store(settings), key, body, sidecar, replace=overwrite)
        _print(seen.document() | sidecar.model_dump(mode="json"), as_json=json)


def _register_list(group: typer.Typer) -> None:
    @group.command("list", help=LIST_HELP)
    @output.command
    def list_(state_dir: StateDir = None, json: Json = False) -> None:
        settings = bucket_settings(state_dir)
        found = list(library.stored_loras(open_store(settings), settings.lora_prefix))
        if json:
            output.print_json({"loras": [_line(each, settings.lora_prefix) for each in found]})
        else:
            output.out().print(_table(found, settings.lora_prefix))


def _register_show(group: typer.Typer) -> None:
    @group.command("show", help=SHOW_HELP)
    @output.command
    def show_(
        name: Name, id: ById_ = False, state_dir: StateDir = None, json: Json = False
    ) -> None:
        settings = bucket_settings(state_dir)
        _print(_stored(name, id, settings).document(), as_json=json)


def _register_check(group: typer.Typer) -> None:
    @group.command("check", help=CHECK_HELP)
    @output.command
    def check(
        name: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A file, or else a name.")],
        id: ById_ = False,
        base: BaseName = None,
        state_dir: StateDir = None,
        json: Json = False,
    ) -> None:
        if not id and Path(name).is_file():
            settings = load_cli_settings(os.environ, state_dir)
            seen = describe_file(name, FileRanges(Path(name)), _known(settings), base)
        else:
            seen = _stored(name, id, bucket_settings(state_dir), base)
        _print(seen.document(), as_json=json)
        if seen.error is not None:
            raise seen.error


def _register_remove(group: typer.Typer) -> None:
    @group.command("remove", help=REMOVE_HELP)
    @output.command
    def remove(name: Name, state_dir: StateDir = None, json: Json = False) -> None:
        settings = bucket_settings(state_dir)
        key = library.place(ByName(name), settings.lora_prefix)
        library.remove(open_store(settings), key)
        if json:
            output.print_json({"removed": key})
        else:
            output.print_text(f"{key} is removed; jobs that name it are refused from now on")


def _tenants(names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Raises InvalidField."""
    for name in names or ():
        if not is_name(name):
            raise InvalidField(f"{clip(name)!r} cannot be a tenant", field="tenant", value=name)
    return tuple(names) if names else None


def _known(settings: Settings) -> dict[str, Base]:
    return library.bases(models_in_use(settings))


def _stored(name: str, is_id: bool, settings: Settings, base: str | None = None) -> LoraDescription:
    ref = ById(name) if is_id else ByName(name)
    store, prefix = open_store(settings), settings.lora_prefix
    try:
        return describe_stored(store, ref, prefix, _known(settings), base)
    except LoraNotFound as error:
        if not is_id:
            error.hint = f"{error.hint} With --id {name} is looked for as a lora_id."
        raise


def _read(file: Path, settings: Settings) -> bytes:
    size, limit = file.stat().st_size, settings.lora_file_mib * 2**20
    if size > limit:
        raise InvalidInput(
            f"{file} has {size:,} bytes, the limit is {limit:,}",
            value=size,
            hint="A LoRA of this size is probably a whole model; RYLA_LORA_FILE_MIB is the limit.",
        )
    return file.read_bytes()


def _print(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.print_json(document)
        return
    for name, value in document.items():
        if value not in (None, "", ()):
            text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            output.print_text(f"{name.replace('_', ' '):20} {text}")


def _line(each: library.StoredLora, prefix: str) -> dict[str, Any]:
    error = {"error": output.fields_of(each.error)} if each.error else {}
    return {
        "name": each.found.key.removeprefix(prefix),
        "bytes": each.found.size,
        "last_modified": each.found.last_modified,
        **each.sidecar.model_dump(mode="json"),
        **error,
    }


def _table(found: Sequence[library.StoredLora], prefix: str) -> Any:
    columns = ("=name", "family", "trigger word", "character", ">MB", "=last modified")
    rows = (
        (
            each.found.key.removeprefix(prefix),
            each.error.code if each.error else each.sidecar.family,
            each.sidecar.trigger_word,
            each.sidecar.character,
            f"{each.found.size / 1e6:.1f}",
            f"{each.found.last_modified:%Y-%m-%d %H:%M}",
        )
        for each in found
    )
    return output.table(None, columns, rows)
