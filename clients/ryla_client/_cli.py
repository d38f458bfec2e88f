"""The command line: `python -m ryla_client flux-dev --prompt …`, and the scripts beside it.

Names, flags and file names are those of the client that was here before.
"""

import argparse
import json
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, cast

from ryla_client import _config, _flags, _sheet_flags
from ryla_client._client import Client
from ryla_client._errors import Details, RylaError
from ryla_client._jobs import Job, check_succeeded
from ryla_client._pictures import picture
from ryla_client._retry import Retries
from ryla_client.requests import Request

FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
ON_MODAL = "https://{}--ryla-api.modal.run"
SHEET = "character-sheet"
SHEET_FOLDER = "character_sheet_output"
RETRY_SECONDS = 20.0
"""For which a command repeats a request: somebody looks on."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell has it: 128 and the number of SIGINT."""


OLD_NAMES: Mapping[str, str] = {
    "flux": "flux-schnell",
    "flux-dev-lora": "flux-lora",
    "z-image-simple": "z-image-turbo",
    "z-image-lora": "z-image-turbo",
}
GONE: Mapping[str, str] = {
    "flux-pulid": "flux-instantid; --instantid-strength is what --pulid-strength was",
    "flux-ipadapter-faceid": "flux-instantid",
    "z-image-danrisi": "z-image-turbo, or workflow with the graph itself",
    "z-image-instantid": "flux-instantid --base z-image-turbo",
    "z-image-pulid": "flux-instantid --base z-image-turbo",
    "wan2": "nothing yet: there is no video",
    "seedvr2": "nothing yet: there is no upscaling",
}


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Every error ends with 1, as it did in the old client."""
        self.exit(1, f"{self.prog}: {message}\nSee {self.prog} --help.\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m ryla_client`: the first word names the kind."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    names = [*_flags.kinds(), *OLD_NAMES]
    if not words or words[0] not in names:
        parser = Parser("ryla_client", description="Make pictures over HTTP.")
        parser.add_argument("kind", choices=[*names, *GONE], help="Each has a --help of its own.")
        gone = parser.parse_args(words[:1]).kind
        parser.error(f"{gone} is gone. Instead: {GONE[gone]}.")
    return run(words[0], words[1:], prog=f"ryla_client {words[0]}")


def run(name: str, arguments: Sequence[str] | None = None, *, prog: str | None = None) -> int:
    """One kind's command, by its name of now or of old. The exit code."""
    kind = OLD_NAMES.get(name, name)
    given = _parser(name, kind, prog).parse_args(arguments)
    given.idempotency_key = given.idempotency_key or str(uuid.uuid4())
    if kind == SHEET:
        given.output = given.output or Path(SHEET_FOLDER)
    elif given.output is None:
        suffix = "." + (given.output_format or "jpg").replace("jpeg", "jpg")
        given.output = Path(f"{name.replace('-', '_')}_output{suffix}")
    try:
        _make(_request(kind, given), given)
    except KeyboardInterrupt:
        again = f"--idempotency-key {given.idempotency_key}"
        print(f"Interrupted. The job goes on; {again} waits for it again.", file=sys.stderr)
        return INTERRUPTED
    except RylaError as error:
        _complain(error.message, error.details, as_json=given.as_json)
    except (OSError, ValueError) as error:
        _complain(str(error), Details(), as_json=given.as_json)
    else:
        return 0
    return 1


def _parser(name: str, kind: str, prog: str | None) -> Parser:
    parser = Parser(prog, description=f"Make pictures with {kind}.")
    for each in _flags.fields(_flags.kinds()[kind]):
        each.add_to(parser)
    if kind == "workflow":
        _add_workflow(parser)
    if kind == SHEET:
        _sheet_flags.add_to(parser)
    parser.add_argument("--consent-subject", choices=["synthetic", "consented"])
    parser.add_argument("--consent-record", metavar="TEXT", help="Where the consent is on record.")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=f"Folder for the views (default: {SHEET_FOLDER})."
        if kind == SHEET
        else "File to write; its suffix decides the format"
        f" (default: {name.replace('-', '_')}_output.jpg).",
    )
    _add_general(parser)
    return parser


def _add_workflow(parser: Parser) -> None:
    parser.add_argument(
        "--workflow-file",
        type=Path,
        required=True,
        metavar="FILE",
        help="The graph in ComfyUI's API format.",
    )
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="Picture by the name that the graph loads it under; may be repeated.",
    )


def _add_general(parser: Parser) -> None:
    parser.add_argument(
        "--url", help=f"The server (default: {_config.URL_VARIABLE}, else {_config.LOCAL})."
    )
    parser.add_argument(
        "--modal-workspace",
        metavar="NAME",
        help="For --url of the app that is deployed in this Modal workspace.",
    )
    parser.add_argument("--key", help=f"API key (default: {_config.KEY_VARIABLE}).")
    parser.add_argument(
        "--timeout", type=float, default=900.0, metavar="S", help="Seconds to wait for the job."
    )
    parser.add_argument(
        "--idempotency-key", metavar="TEXT", help="The same key and flags give the same job."
    )
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="Answer with JSON; errors on stderr."
    )


def _request(kind: str, given: argparse.Namespace) -> Request:
    """Only what was given: the server knows the defaults."""
    request: dict[str, Any] = {"model": kind}
    for each in _flags.fields(_flags.kinds()[kind]):
        value = getattr(given, each.name, None)
        if value is not None:
            request[each.name] = value
    if "reference_image" in request:
        request["reference_image"] = _reference(request["reference_image"])
    if "reference_images" in request:
        request["reference_images"] = [_reference(each) for each in request["reference_images"]]
    if kind == SHEET:
        request |= _sheet_flags.fields(given)
    if kind == "workflow":
        request["workflow"] = json.loads(given.workflow_file.read_text("utf-8"))
        request["inputs"] = dict(_named_picture(each) for each in given.input)
    if given.consent_subject or given.consent_record:
        consent = {"subject": given.consent_subject, "record": given.consent_record}
        request["consent"] = consent
    wanted = None if kind == SHEET else FORMATS.get(given.output.suffix.lower())
    if wanted is not None and request.setdefault("output_format", wanted) != wanted:
        raise ValueError(f"{given.output} is no name for {request['output_format']}")
    return cast(Request, request)


def _named_picture(text: str) -> tuple[str, str]:
    name, equals, file = text.partition("=")
    if not equals:
        raise ValueError(f"--input {text}: write NAME=FILE")
    return name, _reference(file)


def _reference(text: str) -> str:
    """A file's content; what the server can find by itself stays as it is."""
    if text.startswith(("data:", "http://", "https://")):
        return text
    return text if text.startswith("inputs/") and not Path(text).exists() else picture(text)


def _make(request: Request, given: argparse.Namespace) -> None:
    retries = Retries(elapsed=RETRY_SECONDS)
    url = given.url or (given.modal_workspace and ON_MODAL.format(given.modal_workspace))
    with Client(url, given.key, retries=retries) as ryla:
        job = ryla.submit(request, idempotency_key=given.idempotency_key)
        for warning in () if given.as_json else job.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        job = ryla.wait(job, timeout=given.timeout)
        if request["model"] == SHEET:
            given.output.mkdir(parents=True, exist_ok=True)
        paths = ryla.save(check_succeeded(job), given.output)
    if given.as_json:
        said = {"files": [str(path) for path in paths], "result": job.result}
        print(json.dumps(said | {"estimate": job.estimate, "warnings": job.warnings}))
    else:
        _tell(job, paths)


def _tell(job: Job, paths: Sequence[Path]) -> None:
    result = job.result
    outputs = result["outputs"]
    for path, output in zip(paths, outputs, strict=False):
        print(f"{path}: {output['width']}x{output['height']}, seed {output['seed']}")
    for path in paths[len(outputs) :]:
        print(path)
    for view in result.get("missing", ()):
        print(f"missing: {view['id']} ({view['reason']})", file=sys.stderr)
    for warning in result["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    cost, metrics = result["cost"], result["metrics"]
    if cost and metrics:
        line = f"Cost: ${cost['usd']:.6f} | Time: {metrics['total']:.3f}s | GPU: {metrics['gpu']}"
        coin = "💰 ".encode(sys.stdout.encoding or "ascii", "ignore").decode(sys.stdout.encoding)
        print(coin + line)


def _complain(message: str, details: Details, *, as_json: bool) -> None:
    known = {name: value for name, value in asdict(details).items() if value is not None}
    if as_json:
        print(json.dumps({"error": {"message": message, **known}}), file=sys.stderr)
        return
    print(f"Error: {message}", file=sys.stderr)
    for name in ("field", "hint", "code", "job_id", "idempotency_key", "request_id"):
        if name in known:
            print(f"  {name.replace('_', ' ')}: {known[name]}", file=sys.stderr)
