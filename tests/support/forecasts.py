"""Jobs and tables for forecasts."""

from datetime import timedelta
from typing import Any

from config.settings import Settings
from pipeline.contract.keys import inbox_key
from pipeline.contract.manifest import parse_manifest
from pipeline.forecast.expected_job import ExpectedJob, sent_job
from pipeline.runtime import RuntimeConfig, load_runtime
from tests.support.manifests import body
from tests.support.report_results import NOON


def cloud(platform: str = "modal", **settings: Any) -> RuntimeConfig:
    return load_runtime(Settings(**settings), platform)


def job(
    id: str,
    runtime: RuntimeConfig,
    *,
    comes_s: float = 0.0,
    older_s: float = 0.0,
    bare: bool = False,
    model: str = "flux-dev",
    **changes: Any,
) -> ExpectedJob:
    """Of a small valid manifest with these fields changed."""
    return of_manifest(
        id, body(model=model, **changes), runtime, comes_s=comes_s, older_s=older_s, bare=bare
    )


def of_manifest(
    id: str,
    sent: bytes,
    runtime: RuntimeConfig,
    *,
    comes_s: float = 0.0,
    older_s: float = 0.0,
    bare: bool = False,
) -> ExpectedJob:
    manifest = parse_manifest(sent)
    keyed = inbox_key(id, priority=manifest.priority, tenant=manifest.tenant, model=manifest.model)
    key = f"inbox/{id}.json" if bare else keyed
    return sent_job(key, sent, manifest, runtime, NOON - timedelta(seconds=older_s), comes_s)
