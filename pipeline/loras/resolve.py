"""Which file a job's LoRA is.

lora_id X             loras/character-X.safetensors, else loras/flux-character-X.safetensors,
                      else that of the newest training under loras/flux-character-X/ (where
                      training puts them): its last file, not one that was saved on the way
lora_id X, version V  loras/flux-character-X/V.safetensors
lora_name N           loras/N.safetensors; N may have the ending already
lora_name N, version  loras/N/V.safetensors
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from config.errors import InvalidField, LoraNotFound, LoraUnreadable
from config.nearest import nearest
from handlers.loras.refs import ById, ByName, LoraRef
from pipeline.contract.keys import clip
from pipeline.loras.bucket import ENDING, Found, every, find
from pipeline.store.conditional import SafeStore

LORAS = "loras/"

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._ -]{0,127}"
_PART = re.compile(_SEGMENT + r"\Z")
_PATH = re.compile(rf"{_SEGMENT}(/{_SEGMENT}){{0,3}}\Z")
_CHARACTER = re.compile(r"(?:flux-)?character-([^/]+)(?:/.*|\.safetensors)\Z")
_STEP = re.compile(r"(?:_|-step|-)(\d{6,12})\.safetensors\Z")
"""How trainers end the names of what they save on the way: ai-toolkit, kohya by step and epoch."""
TOGETHER = timedelta(hours=1)
"""Files of one training that are no further apart came with one upload. A file that is older is of
an earlier training under the same name."""
_PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")


def places(ref: LoraRef, prefix: str = LORAS) -> Sequence[str]:
    """Where to look, in order; a place that ends in / stands for the newest training under it.

    Raises InvalidField for what cannot be in a key, LoraUnreadable for the name of a pickle.
    """
    if ref.version is not None:
        _require("lora_version", ref.version, _PART)
    if isinstance(ref, ByName):
        return (_place_of_name(ref, prefix),)
    _require("lora_id", ref.id, _PART)
    nested = f"{prefix}flux-character-{ref.id}/"
    if ref.version is not None:
        return (f"{nested}{ref.version.removesuffix(ENDING)}{ENDING}",)
    flat = tuple(
        f"{prefix}{key_format}-{ref.id}{ENDING}" for key_format in ("character", "flux-character")
    )
    return (*flat, nested)


def resolve(
    store: SafeStore, ref: LoraRef, prefix: str = LORAS, tenant: str | None = None
) -> Found:
    """The file to use. Raises LoraNotFound with the places that were looked at, and what `places`
    raises."""
    looked = places(ref, prefix)
    for place in looked:
        found = _newest(every(store, place)) if place.endswith("/") else find(store, place)
        if found is not None:
            return found
    raise not_found(store, ref, prefix, tenant)


def not_found(
    store: SafeStore, ref: LoraRef, prefix: str = LORAS, tenant: str | None = None
) -> LoraNotFound:
    """The same for a LoRA that is not there and for one of others, for whoever asks as a tenant; to
    them the names of those that are there are not told."""
    looked = places(ref, prefix)
    asked = ref.id if isinstance(ref, ById) else ref.name
    files = [] if tenant else [each.key[len(prefix) :] for each in every(store, prefix)]
    near = nearest(asked, _known(ref, files))
    return LoraNotFound(
        f"no LoRA {clip(asked)!r}: looked for {', '.join(looked)}",
        value=clip(asked),
        hint=f"Did you mean {near}?" if near else f"Upload it as {looked[0]}.",
    )


def _known(ref: LoraRef, files: Iterable[str]) -> list[str]:
    """What could have been meant, in the words that were used."""
    if isinstance(ref, ByName):
        return [file.removesuffix(ENDING) for file in files]
    return sorted({found[1] for file in files if (found := _CHARACTER.match(file))})


def _place_of_name(ref: ByName, prefix: str) -> str:
    _require("lora_name", ref.name, _PATH)
    if ref.name.endswith(_PICKLES):
        raise LoraUnreadable(f"{ref.name} would be a pickle; only safetensors is loaded")
    name = ref.name.removesuffix(ENDING)
    if ref.version is None:
        return f"{prefix}{name}{ENDING}"
    return f"{prefix}{name}/{ref.version.removesuffix(ENDING)}{ENDING}"


def _require(field: str, value: str, pattern: re.Pattern[str]) -> None:
    if not pattern.match(value):
        raise InvalidField(
            f"{clip(value)!r} cannot be a {field}",
            field=field,
            value=clip(value),
            hint="Letters, digits, dots, dashes, underscores and blanks, a letter or digit first.",
        )


def _newest(files: Iterable[Found]) -> Found | None:
    """The last file of the training that wrote last."""
    trainings: dict[str, list[Found]] = {}
    for each in files:
        trainings.setdefault(_STEP.sub(ENDING, each.key), []).append(each)
    lasts = {_wrote_last(each): _last(each) for each in trainings.values()}
    return lasts[max(lasts)] if lasts else None


def _wrote_last(training: Iterable[Found]) -> tuple[datetime, bool, int, str]:
    """Of two that are equally old, the one with a last file."""
    return max((each.last_modified, *_progress(each.key)) for each in training)


def _last(training: Sequence[Found]) -> Found:
    """A folder is uploaded in any order, so what was saved on the way may be the newer file."""
    newest = max(each.last_modified for each in training)
    together = (each for each in training if newest - each.last_modified <= TOGETHER)
    return max(together, key=lambda each: _progress(each.key))


def _progress(key: str) -> tuple[bool, int, str]:
    """Whether it is a training's last file, else at which step or epoch it was saved."""
    step = _STEP.search(key)
    return step is None, int(step[1]) if step else 0, key
