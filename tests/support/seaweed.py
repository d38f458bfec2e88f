"""Buckets in the real store that tests run against."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from config.settings import Settings
from pipeline.local.seaweed import SeaweedServer


def fresh_bucket(server: SeaweedServer, state_dir: Path, **changes: Any) -> Settings:
    """Settings that name a bucket nobody else uses."""
    name = f"test-{uuid4().hex[:12]}"
    server.create_bucket(name)
    return Settings.model_validate({**server.settings(name), "state_dir": state_dir, **changes})
