"""What only the first start of a run can see, kept beside its page for the later ones."""

from pathlib import Path

from pydantic import ValidationError

from pipeline.accepting.over_http import Health, Web

FILE = "health.json"


def first_health(web: Web, folder: Path, *, idle: bool) -> Health:
    """Measured now, unless an earlier start of this run did: then the app is not idle any more."""
    file, url = folder / FILE, str(web.client.base_url)
    if file.exists():
        try:
            kept = Health.model_validate_json(file.read_bytes())
        except ValidationError:
            kept = None
        if kept is not None and kept.url == url:
            return kept
        idle = False  # who asked before, nobody can tell
    measured = web.health(idle=idle)
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(measured.model_dump_json(indent=1))
    return measured
