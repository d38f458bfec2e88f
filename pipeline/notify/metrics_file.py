"""`metrics.json` beside the outputs of an execution: what its result says in `metrics`."""

import structlog

from config.errors import StoreDenied, StoreUnavailable
from pipeline.contract.keys import metrics_key
from pipeline.contract.result import Metrics
from pipeline.store.conditional import SafeStore


def metrics_body(metrics: Metrics) -> bytes:
    """The file's bytes, equal for equal metrics."""
    return metrics.model_dump_json(indent=1).encode()


def write_metrics(store: SafeStore, id: str, attempt: int, metrics: Metrics) -> None:
    """A failure is no matter: a result has the same."""
    key = metrics_key(id, attempt)
    try:
        store.write(key, metrics_body(metrics), "application/json")
    except (StoreUnavailable, StoreDenied) as error:
        structlog.get_logger(__name__).warning("metrics_not_written", key=key, error=error.message)
