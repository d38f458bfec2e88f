"""Did a demo end as it should? Each check is judged by what lies in its folder and its events."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from events.moments import Moment, event_for
from handlers.character_sheet.combinations import Making
from handlers.character_sheet.sheet_files import CONTACT_SHEET, DOCUMENT
from handlers.character_sheet.sheet_plan import SheetPlan
from pipeline.batches.batch import Batch
from pipeline.contract.keys import batch_key, cells_folder, metrics_key, plan_key
from pipeline.contract.result import Output, Result, Status
from pipeline.local.demo.batch import PAGE
from pipeline.local.demo.demo import DemoRun
from pipeline.local.demo.manifests import Example
from pipeline.local.demo.sheet_checks import (
    complete_sheets,
    retried_views,
    scores_text,
    unscored_views,
)
from pipeline.local.demo.sheets import read_sheets


@dataclass(frozen=True)
class Check:
    text: str
    """What was looked at, as a statement."""
    faults: Sequence[str]

    @property
    def ok(self) -> bool:
        return not self.faults


def check_run(run: DemoRun) -> list[Check]:
    """In the order in which the page shows them."""
    checks: list[tuple[str, Callable[[DemoRun], Iterator[str]]]] = [
        (f"every job ended as expected ({len(run.examples)})", _endings),
        (
            "every picture has bytes, sha256, size and format as its result and manifest say"
            f" ({_pictures(run)})",
            _outputs,
        ),
        ("every execution left its metrics.json beside its outputs", _metrics),
        (
            f"every character sheet has the views that are expected, {DOCUMENT} and"
            f" {CONTACT_SHEET} ({len([*read_sheets(run)])})",
            complete_sheets,
        ),
        (
            "every view that was drawn wrong on purpose was put right by another try"
            f" ({sum(len(example.retried) for example in run.examples)})",
            retried_views,
        ),
        (
            f"every face that can be compared in a sheet has a match ({scores_text(run)})",
            unscored_views,
        ),
        *([(_batch_text(run), _batch)] if run.batch else []),
        ("refused jobs say why and what to write instead, and started nothing", _refusals),
        (_again_text(run), _again),
        (f"every event of every job came, and came once ({len(run.events)})", _events),
        ("nothing is left in the inbox or in progress, nothing was misfiled", _leftovers),
    ]
    return [Check(text, tuple(look(run))) for text, look in checks]


def _pictures(run: DemoRun) -> int:
    return sum(len(result.outputs) for result in run.results.values())


def _again_text(run: DemoRun) -> str:
    return f"{run.again.id if run.again else 'a job'}, submitted twice, ran once"


def _ended(run: DemoRun, *statuses: Status) -> Iterator[tuple[Example, Result]]:
    for example in run.examples:
        result = run.results.get(example.id)
        if result is not None and result.status in statuses:
            yield example, result


def _endings(run: DemoRun) -> Iterator[str]:
    for example in run.examples:
        result = run.results.get(example.id)
        if result is None:
            yield f"{example.id} has no result"
        elif result.status is not example.expected:
            reason = f": {result.error.code}, {result.error.message}" if result.error else ""
            yield f"{example.id} {result.status} instead of {example.expected}{reason}"


def _outputs(run: DemoRun) -> Iterator[str]:
    for example, result in _ended(run, Status.SUCCEEDED):
        wanted = example.pictures
        if len(result.outputs) != wanted:
            lost = "".join(f", {view.id}: {view.reason}" for view in result.missing)
            yield f"{example.id} has {len(result.outputs)} pictures instead of {wanted}{lost}"
        for output in result.outputs:
            yield from _picture(run, example, output)


def _asked_size(example: Example, output: Output) -> tuple[int, int]:
    sheet = example.sheet
    if sheet is None or output.view is None or output.view.number is None:
        return example.input.get("width", 1024), example.input.get("height", 1024)
    view = sheet.chosen_views[output.view.number - 1]
    size = sheet.sizes.of(view.framing)
    return size.width, size.height


def _picture(run: DemoRun, example: Example, output: Output) -> Iterator[str]:
    file = run.out / output.key
    if not file.exists():
        yield f"{output.key} is not there"
        return
    body = file.read_bytes()
    if len(body) != output.bytes or hashlib.sha256(body).hexdigest() != output.sha256:
        yield f"{output.key} has other bytes than its result says"
    asked = (*_asked_size(example, output), example.input.get("output_format", "png"))
    with Image.open(io.BytesIO(body)) as image:
        found = (image.width, image.height, (image.format or "").lower())
    if found != asked or (output.width, output.height) != found[:2]:
        yield f"{output.key} is {found} instead of {asked}"


def _batch_text(run: DemoRun) -> str:
    rows = run.batch.batch.rows if run.batch else ()
    names = ", ".join(row.character for row in rows)
    said = "the batch names each row's job, sent twice it is one, has ended and is shown on a page"
    return f"{said} ({names})"


def _batch(run: DemoRun) -> Iterator[str]:
    """What is amiss with the batch, its own object and what is shown of it."""
    if run.batch is None:
        return
    file = run.out / batch_key(run.batch.batch.name)
    if not file.exists() or Batch.parse(file.read_bytes()) != run.batch.batch:
        yield f"{file.name} is not the batch that was sent"
    if run.batch.sent_again:
        yield f"sent again, it sent {run.batch.sent_again} jobs"
    if not (run.out / PAGE).exists():
        yield f"{PAGE} is not there"
    yield from (f"{PAGE} lacks {key}: {why}" for key, why in run.batch.unseen.items())
    for line in run.batch.lines:
        result = run.results.get(line.row.id)
        if result is None or result.manifest_sha256 != line.row.manifest_sha256:
            yield f"row {line.row.row}: {line.row.id} is not its job"
        elif (line.own.status, line.own.made) != (result.status, len(result.outputs)):
            yield f"row {line.row.row} is shown as {line.own.status} with {line.own.made} views"


def _metrics(run: DemoRun) -> Iterator[str]:
    for example, result in _ended(run, Status.SUCCEEDED):
        file = run.out / metrics_key(example.id, result.attempt)
        if not file.exists():
            yield f"{example.id} has no metrics.json"
        elif result.metrics is None or json.loads(file.read_bytes()) != result.metrics.model_dump(
            mode="json"
        ):
            yield f"{example.id} has other metrics in metrics.json than in its result"


def _refusals(run: DemoRun) -> Iterator[str]:
    for example, result in _ended(run, Status.REJECTED):
        if example.expected is Status.REJECTED and not (result.error and result.error.hint):
            yield f"{example.id} was refused without a hint"
        if result.metrics is not None or result.outputs:
            yield f"{example.id} was refused, and ran"


def _again(run: DemoRun) -> Iterator[str]:
    again = run.again
    if again is None:
        yield "no job succeeded that could be submitted again"
        return
    if not again.accepted:
        yield "the inbox did not take the second submission"
    if again.result_after != again.result_before:
        yield "its result changed"
    if again.executions != 1 or run.results[again.id].attempt != 1:
        yield f"it was executed {again.executions} times"


def _events(run: DemoRun) -> Iterator[str]:
    came = Counter(event.uuid for event in run.events)
    yield from (f"event {uuid} came {n} times" for uuid, n in came.items() if n > 1)
    owed: dict[str, str] = {}
    for example, result in _ended(run, *Status):
        names = [event.event for event in result.events]
        if names != (wanted := _event_names(run, example, result)):
            yield f"{example.id} owes {names} instead of {wanted}"
        owed |= {event.uuid: f"{event.event} of {example.id}" for event in result.events}
    yield from (f"{owed[uuid]} did not come" for uuid in owed.keys() - came.keys())
    names_by_uuid = {event.uuid: event.event for event in run.events}
    yield from (f"{names_by_uuid[uuid]} came unasked" for uuid in came.keys() - owed.keys())


def _event_names(run: DemoRun, example: Example, result: Result) -> list[str]:
    end = Moment.REFUSED if result.status is Status.REJECTED else Moment(result.status)
    moments = (Moment.ADOPTED, *_on_the_way(run, example, result), end)
    events = (event_for(moment, example.model) for moment in moments)
    return [event.name_for(example.model) for event in events if event is not None]


def _on_the_way(run: DemoRun, example: Example, result: Result) -> Iterator[Moment]:
    """What happened to the job between its adoption and its end."""
    if result.error is not None and result.error.code.startswith("lora_"):
        yield Moment.LORA_LOAD_FAILED
    elif result.status is Status.SUCCEEDED and example.input.keys() & {"lora_id", "lora_name"}:
        yield Moment.LORA_LOADED
    if example.sheet is not None and plan_key(example.id) in run.files:
        plan = SheetPlan.parse((run.out / plan_key(example.id)).read_bytes())
        if plan is not None:
            yield from [Moment.FACE_MEASURED] * _measured(run, example, plan)
    if "reference_image" in example.input:
        for output in result.outputs:
            yield from [Moment.FACE_MEASURED] * (output.face.tries if output.face else 1)


def _measured(run: DemoRun, example: Example, plan: SheetPlan) -> int:
    """Pictures of a sheet that were measured: each try at a face, and what was composed alone."""
    composed = {view.name for view in plan.views if view.making is Making.COMPOSED}
    names = [Path(key).stem for key in run.files if key.startswith(cells_folder(example.id))]
    steps = [name.partition(".") for name in names]
    return sum(step[:1] == "t" or (step[:1] == "c" and view in composed) for view, _, step in steps)


def _leftovers(run: DemoRun) -> Iterator[str]:
    yield from (f"{key} is still there" for key in run.left)
    yield from (f"{key} was filed" for key in run.rejected)
