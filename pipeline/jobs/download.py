"""Brings a job's result and outputs onto this machine, each output checked against its sha256."""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from config.errors import OutputInvalid, OutputsMissing
from pipeline.contract.keys import result_key
from pipeline.contract.result import Output, Result, ResultFile
from pipeline.notify.metrics_file import metrics_body
from pipeline.store.conditional import SafeStore


@dataclass(frozen=True)
class Fetched:
    result: Result | None
    """None for bytes that are no result; they are kept as they are."""
    files: tuple[Path, ...]


def fetch(store: SafeStore, id: str, folder: Path) -> Fetched | None:
    """Write result.json, metrics.json, the outputs and further files into `folder`/<id>; None
    without a result.

    What is there already, and right, is left alone. Raises OutputsMissing or OutputInvalid.
    """
    stored = store.get(result_key(id))
    if stored is None:
        return None
    into = folder / id
    into.mkdir(parents=True, exist_ok=True)
    files = [_write(into / "result.json", stored.body)]
    result = Result.parse(stored.body)
    if result is None:
        return Fetched(None, tuple(files))
    if result.metrics is not None:
        files.append(_write(into / "metrics.json", metrics_body(result.metrics)))
    files += [_output(store, output, into) for output in result.outputs]
    files += [_output(store, file, into) for file in result.files]
    return Fetched(result, tuple(files))


def _output(store: SafeStore, output: Output | ResultFile, into: Path) -> Path:
    # The last part alone, so that no key can lead out of the folder.
    path = into / PurePosixPath(output.key).name
    if path.is_file() and _is(path.read_bytes(), output):
        return path
    stored = store.get(output.key)
    if stored is None:
        raise OutputsMissing(f"{output.key} is not in the bucket", field="key", value=output.key)
    if not _is(stored.body, output):
        raise OutputInvalid(
            f"{output.key} is not what its result says: the sha256 differs",
            field="sha256",
            value=hashlib.sha256(stored.body).hexdigest(),
            hint="Somebody has overwritten it; submit the manifest under a new id.",
        )
    return _write(path, stored.body)


def _is(body: bytes, output: Output | ResultFile) -> bool:
    return hashlib.sha256(body).hexdigest() == output.sha256


def _write(path: Path, body: bytes) -> Path:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(body)
    part.replace(path)
    return path
