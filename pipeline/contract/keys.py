"""Where everything lies in the bucket, and what an inbox key says.

    inbox/[<9-priority>.<tenant>.<model>.]<id>.json   waiting
    leases/<id>.json                                  in progress
    jobs/<id>/manifest.json, result.json, out/a<attempt>/...
    jobs/<id>/plan.json, cells/<step>.json            of a character sheet
    rejected/<name>.json, inputs/<sha256>.<ext>, deploys/<version>.json
    batches/<name>.json                               which job each row of a batch is
    intake/<tenant>/<sha256>                          who sent that picture over HTTP
    reviews/<id>.json                                 what a person says of a character sheet
    exports/<id>/<sha256>.zip                         what a LoRA can be trained on, made of it
    thumbs/<sha256>.webp                              a small copy of the picture of that sha256
    alarms/<day>/<budget>[.<tenant>].<percent>.json   that a budget has been used up so far
    owed/<day>/<the same>.<event|callback>.json       what of it has not arrived yet
    spend/<day>/<tenant>/<what an ended job cost>     one object a job (spend_entry.py)
    spend/since/<day>                                 that none is missing from that day on
    spend/marks/<day>[.<tenant>].json                 by which a long day is listed in parts
    stops/<scope>                                     what an operator has stopped (stops.py)
    outbox/<name>.json                                an event of rejected/<name>.json still owed

Scheduling reads these keys, so what it needs stands in them, and LIST shows the highest priorities
first. A bare `<id>.json` has priority 5 and names no tenant or model.
"""

import hashlib
import re
from dataclasses import dataclass

from config.errors import InvalidId

INBOX = "inbox/"
LEASES = "leases/"
JOBS = "jobs/"
REJECTED = "rejected/"
OUTBOX = "outbox/"
INPUTS = "inputs/"
INTAKE = "intake/"
DEPLOYS = "deploys/"
BATCHES = "batches/"
REVIEWS = "reviews/"
ALARMS = "alarms/"
OWED = "owed/"
EXPORTS = "exports/"
THUMBS = "thumbs/"

MAX_KEY = 1024
"""Bytes of UTF-8 in a key: S3 takes no more."""
MAX_BYTES = 256 * 1024
"""Of a manifest. What is larger is not read."""

DEFAULT_PRIORITY = 5
"""Of 0 to 9."""
ID_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,95}$"
"""Of a job's id: what every store takes in a key, and no more than 96 characters."""
NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
"""Of a tenant and a model: as an id, and of at most 63 characters."""

BATCH_PATTERN = r"^[a-z0-9][a-z0-9-]{0,47}$"
"""Of a batch's name."""

_OUTPUT = re.compile(r"jobs/[a-z0-9_-]{1,96}/out/[A-Za-z0-9_./-]{1,300}")
_ID = re.compile(ID_PATTERN[:-1] + r"\Z")
_NAME = re.compile(NAME_PATTERN[:-1] + r"\Z")
_SUFFIX = ".json"
_INPUT = re.compile(rf"{INPUTS}([0-9a-f]{{64}})\.[a-z]{{3}}")


@dataclass(frozen=True, order=True)
class InboxName:
    """An inbox key taken apart. `tenant` and `model` are None in a bare key."""

    priority: int
    """0 to 9, higher first."""
    tenant: str | None
    model: str | None
    id: str

    @property
    def key(self) -> str:
        if self.tenant is None or self.model is None:
            return f"{INBOX}{self.id}{_SUFFIX}"
        return f"{INBOX}{9 - self.priority}.{self.tenant}.{self.model}.{self.id}{_SUFFIX}"


def check_id(value: str) -> str:
    """`value` if it is a job id, else InvalidId with the pattern and a suggestion."""
    if _ID.match(value):
        return value
    raise InvalidId(
        f"{clip(value)!r} is no job id: an id matches {ID_PATTERN}",
        field="id",
        value=clip(value),
        hint=f"Use {suggest_id(value)!r}, or any lower-case id such as a UUIDv7.",
    )


def is_id(value: str) -> bool:
    """Whether `value` can be a job's id."""
    return _ID.match(value) is not None


def suggest_id(value: str) -> str:
    """An id made of `value`: in lower case, at most 80 characters, dashes for what no id may have,
    and a short hash of the original."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", value.lower()).strip("-_")[:80]
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain}-{digest}" if plain else f"job-{digest}"


def is_name(value: str) -> bool:
    """Whether `value` can stand in a key as a tenant or a model."""
    return _NAME.match(value) is not None


def inbox_key(id: str, *, priority: int, tenant: str, model: str) -> str:
    """`priority` is 0 to 9. Nothing is checked: the names come from a manifest that was read."""
    return InboxName(priority, tenant, model, id).key


def parse_inbox_key(key: str) -> InboxName:
    """The parts of an inbox key. Raises InvalidId when it names no job."""
    name = key.removeprefix(INBOX)
    if not name.endswith(_SUFFIX):
        raise InvalidId(
            f"inbox entry {clip(name)!r} does not end in .json",
            field="key",
            value=clip(key),
            hint=f"Write it as {INBOX}{suggest_id(name)}{_SUFFIX}.",
        )
    parts = name.removesuffix(_SUFFIX).split(".")
    if len(parts) == 1:
        return InboxName(DEFAULT_PRIORITY, None, None, check_id(parts[0]))
    if len(parts) == 4 and re.fullmatch("[0-9]", parts[0]) and all(map(is_name, parts[1:3])):
        return InboxName(9 - int(parts[0]), parts[1], parts[2], check_id(parts[3]))
    raise InvalidId(
        f"inbox entry {clip(name)!r} is neither <id>.json"
        " nor <9-priority>.<tenant>.<model>.<id>.json",
        field="key",
        value=clip(key),
        hint=f"Write it as {INBOX}{suggest_id(name.removesuffix(_SUFFIX))}{_SUFFIX}.",
    )


def lease_key(id: str) -> str:
    return f"{LEASES}{id}.json"


def lease_id(key: str) -> str | None:
    """The id of a lease key, or None for a stranger's object under leases/."""
    name = key.removeprefix(LEASES).removesuffix(_SUFFIX)
    return name if key == lease_key(name) and _ID.match(name) else None


def manifest_key(id: str) -> str:
    return f"{JOBS}{id}/manifest.json"


def result_key(id: str) -> str:
    return f"{JOBS}{id}/result.json"


def attempt_folder(id: str, attempt: int) -> str:
    """Ends in a slash."""
    return f"{JOBS}{id}/out/a{attempt}/"


def is_output_key(key: str) -> bool:
    """Whether a key can be that of a file that a job made. A stranger's could be any text, which a
    store would take ill."""
    return _OUTPUT.fullmatch(key) is not None


def metrics_key(id: str, attempt: int) -> str:
    """Seconds of one execution, by part."""
    return f"{attempt_folder(id, attempt)}metrics.json"


def plan_key(id: str) -> str:
    """What a character sheet will make."""
    return f"{JOBS}{id}/plan.json"


def cells_folder(id: str) -> str:
    """Where the records of a character sheet's steps lie."""
    return f"{JOBS}{id}/cells/"


def cell_key(id: str, name: str) -> str:
    """Of the step that has this base name, such as `01-front.t2`."""
    return f"{cells_folder(id)}{name}{_SUFFIX}"


def export_key(id: str, sha256: str) -> str:
    """Of a dataset's zip that has this sha256, in hex."""
    return f"{EXPORTS}{id}/{sha256}.zip"


def thumb_key(sha256: str) -> str:
    """Of the small copy of the picture that has this sha256, in hex."""
    return f"{THUMBS}{sha256}.webp"


def review_key(id: str) -> str:
    """What a person says of a character sheet's views."""
    return f"{REVIEWS}{id}{_SUFFIX}"


def rejected_key(inbox_entry: str, body_sha256: str) -> str:
    """One key per refused entry and body (its sha256 in hex), so that the same refusal is written
    once."""
    name = inbox_entry.removeprefix(INBOX).removesuffix(_SUFFIX)
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:96] or "entry"
    return f"{REJECTED}{safe}.{body_sha256[:12]}{_SUFFIX}"


def outbox_key(rejected: str) -> str:
    """Where the event of that object under rejected/ lies until it has arrived."""
    return OUTBOX + rejected.removeprefix(REJECTED)


def rejected_of(outbox: str) -> str:
    """The object under rejected/ whose event lies at that key of outbox/."""
    return REJECTED + outbox.removeprefix(OUTBOX)


def alarms_folder(day: str) -> str:
    """Where the alarms of a UTC day lie, such as 2026-11-01."""
    return f"{ALARMS}{day}/"


def alarm_key(day: str, account: str, percent: int) -> str:
    """`account` is a budget with the tenant that it is of."""
    return f"{alarms_folder(day)}{account}.{percent}{_SUFFIX}"


def owed_key(alarm: str, part: str) -> str:
    """Where that part of an alarm lies until it has arrived."""
    return f"{OWED}{alarm.removeprefix(ALARMS).removesuffix(_SUFFIX)}.{part}{_SUFFIX}"


def deploy_key(version: str) -> str:
    return f"{DEPLOYS}{version}.json"


def batch_key(name: str) -> str:
    """Of the batch of that name."""
    return f"{BATCHES}{name}{_SUFFIX}"


def intake_key(tenant: str, sha256: str) -> str:
    """Stands beside `inputs/<sha256>.<ext>` for each tenant that sent that picture over HTTP."""
    return f"{INTAKE}{tenant}/{sha256}"


def is_beside_jobs(key: str) -> bool:
    """Whether it is a key of what lies outside the folders of jobs and may go with one: pictures
    that were sent, who sent them, thumbnails. None that a store or a proxy may read as another."""
    top, *parts = key.split("/")
    return (
        f"{top}/" in (INPUTS, INTAKE, THUMBS)
        and key.isprintable()
        and bool(parts)
        and not {"", ".", ".."}.intersection(parts)
        and len(key.encode()) <= MAX_KEY
    )


def input_sha256(key: str) -> str | None:
    """Of the key of a picture that was taken in, None for another key under inputs/."""
    match = _INPUT.fullmatch(key)
    return match[1] if match else None


def input_key(sha256: str, extension: str) -> str:
    """`extension` is without a dot."""
    return f"{INPUTS}{sha256}.{extension}"


def clip(value: object, limit: int = 200) -> str:
    """`value` as text of at most `limit` characters, for a message."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
