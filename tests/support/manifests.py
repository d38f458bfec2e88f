"""Manifests for tests."""

import json
from typing import Any


def manifest(**changes: Any) -> dict[str, Any]:
    """A small valid manifest with these fields changed."""
    small = {"prompt": "a cat on a wall", "width": 256, "height": 256, "steps": 2}
    return {"version": 1, "model": "flux-dev", "input": small, **changes}


def body(prompt: str = "a cat on a wall", *, model: str = "flux-dev", **changes: Any) -> bytes:
    """The bytes of a manifest. `input` holds further fields of the input."""
    document = manifest(model=model, **changes)
    document["input"] = {**manifest()["input"], "prompt": prompt, **changes.get("input", {})}
    return json.dumps(document).encode()
