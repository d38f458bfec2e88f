"""Writes docs/settings.md from the table of settings.

python -m tools.settings_doc
"""

from pathlib import Path

from pydantic_core import PydanticUndefined

from config.settings import Settings, allowed, variable

TARGET = Path(__file__).parent.parent / "docs" / "settings.md"

HEAD = """\
# Settings

<!-- Written by `python -m tools.settings_doc` from config/settings.py: edit there. -->

Settings are environment variables. An empty variable counts as unset; a variable that starts with
`RYLA_` and is not in this table is refused, and so is a value that is not allowed. Only
`RYLA_CLIENT_…` is left alone: the clients read it. Durations are in seconds.

| Variable | Default | Allowed | What it sets |
|---|---|---|---|
"""


def render() -> str:
    rows = (
        f"| `{variable(name)}` | {_default(field.default)} | {allowed(name)}"
        f" | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    )
    return HEAD + "".join(rows)


def _default(value: object) -> str:
    return "" if value is None or value is PydanticUndefined else f"`{value}`"


if __name__ == "__main__":
    TARGET.write_text(render(), "utf-8")
