"""Did a demo's character sheets become what their manifests ask for?"""

import hashlib
from collections.abc import Iterator

from handlers.character_sheet.sheet_files import CONTACT_SHEET, DOCUMENT
from handlers.faces.view import IDENTITY_TO
from pipeline.contract.result import Output
from pipeline.local.demo.demo import DemoRun
from pipeline.local.demo.sheets import DemoSheet, read_sheets


def complete_sheets(run: DemoRun) -> Iterator[str]:
    """Whose files and views are not there, or others than the result and the manifest say."""
    for sheet in read_sheets(run):
        for name in (DOCUMENT, CONTACT_SHEET):
            yield from _file(sheet, name)
        missing = [view.id for view in sheet.result.missing]
        if missing != [*sheet.example.missing]:
            yield f"{sheet.id} lacks the views {missing} instead of {[*sheet.example.missing]}"
        document = sheet.document
        if document is None:
            yield f"{sheet.id} has no {DOCUMENT} that can be read"
        elif [view.key for view in document.views if view.key] != [
            output.key for output in sheet.result.outputs
        ]:
            yield f"{sheet.id} names other pictures in {DOCUMENT} than in its result"


def _file(sheet: DemoSheet, name: str) -> Iterator[str]:
    file = sheet.file(name)
    if file is None:
        yield f"{sheet.id} has no {name} among its files"
    elif hashlib.sha256((sheet.out / file.key).read_bytes()).hexdigest() != file.sha256:
        yield f"{file.key} has other bytes than its result says"


def retried_views(run: DemoRun) -> Iterator[str]:
    """Those that were to be wrong at first, and were not put right by a second try."""
    for sheet in read_sheets(run):
        views = {output.view.id: output.view for output in sheet.result.outputs if output.view}
        for id in sheet.example.retried:
            view = views.get(id)
            if view is None or view.tries < 2 or view.ok is not True:
                yield f"{sheet.id} did not put its view {id!r} right: {view}"


def unscored_views(run: DemoRun) -> Iterator[str]:
    """Those whose likeness must be known, and is not."""
    for sheet in read_sheets(run):
        for output in _gated(sheet):
            if output.face is None or output.face.match is None:
                reason = output.face.reason if output.face else output.face_reason
                yield f"{output.key} has no match: {reason}"


def scores_text(run: DemoRun) -> str:
    """What scored how many views."""
    outputs = [output for sheet in read_sheets(run) for output in _gated(sheet)]
    embedders = sorted({output.face.embedder for output in outputs if output.face})
    return f"{', '.join(embedders) or 'no embedder'}, {len(outputs)}"


def _gated(sheet: DemoSheet) -> Iterator[Output]:
    """Faces that look so far to the camera that their likeness to the references counts."""
    for output in sheet.result.outputs:
        asked = output.view.asked if output.view else None
        turned = asked.yaw if asked else None
        if sheet.has_references and turned is not None and abs(turned) <= IDENTITY_TO:
            yield output
