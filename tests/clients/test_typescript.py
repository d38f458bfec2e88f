"""The TypeScript client: its types are the schemas', its tests pass against a pipeline."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic_core import to_json

from pipeline.contract.schemas import SCHEMAS
from pipeline.contract.schemas import schema as json_schema
from tests.clients.conftest import Api

CLIENT = Path(__file__).parents[2] / "clients" / "typescript"


def _missing() -> str | None:
    if shutil.which("node") is None:
        return "node is not installed"
    if not (CLIENT / "node_modules").is_dir():
        return "clients/typescript has no node_modules: npm ci --prefix clients/typescript"
    return None


pytestmark = [
    pytest.mark.xdist_group("clients"),
    pytest.mark.skipif(_missing() is not None, reason=str(_missing())),
]


def _node(*command: str, environ: dict[str, str] | None = None) -> None:
    ran = subprocess.run(
        command,
        cwd=CLIENT,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_types_are_those_of_the_schemas(tmp_path: Path) -> None:
    for name in SCHEMAS:
        (tmp_path / f"{name}.schema.json").write_bytes(to_json(json_schema(name)))

    _node("node", "scripts/types.mjs", str(tmp_path), str(tmp_path / "types.ts"))

    written = (CLIENT / "src" / "types.ts").read_text("utf-8")
    made = (tmp_path / "types.ts").read_text("utf-8")
    assert written == made, "run ryla schema --out DIR and npm run types -- DIR src/types.ts"


@pytest.mark.thorough
def test_it_fits_its_types_and_drives_the_pipeline(api: Api) -> None:
    """Bucket, HTTP and the runner's interface: clients/typescript/test, and what README shows."""
    shown = re.findall(
        r"^```ts\n(.*?)^```$", (CLIENT / "README.md").read_text("utf-8"), re.M | re.S
    )
    (CLIENT / "test" / "readme.ts").write_text("\n".join(shown))
    _node("node", "node_modules/typescript/bin/tsc")
    tests = sorted(str(file) for file in (CLIENT / "dist" / "test").glob("*.test.js"))

    _node("node", "--no-warnings", "--test", *tests, environ=api.environ())
