"""The TypeScript client: its types are the schemas', its tests pass against a pipeline."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_core import to_json

from config.models import load_models
from pipeline.api.auth import hashed
from pipeline.contract.schemas import SCHEMAS
from pipeline.contract.schemas import schema as json_schema
from pipeline.local.seaweed import SeaweedServer
from tests.clients.conftest import KEY, Api, pipeline, serving
from tests.support.photographs import drawn_sitter
from tests.support.seaweed import fresh_bucket

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


@pytest.mark.thorough
def test_the_backend_s_nsfw_sheet_needs_the_runner_s_consent(
    seaweed: SeaweedServer, tmp_path: Path
) -> None:
    """Where the operator has an uncensored checkpoint: here the censored one under its name."""
    models, face = tmp_path / "models.toml", tmp_path / "face.png"
    rows = load_models().sets["flux-dev"].items()
    models.write_text(
        "[sets.flux-dev-uncensored]\n" + "".join(f'{role} = "{row}"\n' for role, row in rows)
    )
    face.write_bytes(drawn_sitter())
    settings = fresh_bucket(
        seaweed,
        tmp_path,
        api_keys=SecretStr(f"acme:{hashed(KEY)}"),
        nsfw_tenants="acme",
        models_file=models,
        poll_active_seconds=0.2,
        poll_idle_seconds=0.2,
        log_level="warning",
    )
    _node("node", "node_modules/typescript/bin/tsc")
    with pipeline(settings, tmp_path) as (dependencies, worker), serving(dependencies) as url:
        api = Api(url, KEY, settings, dependencies.store, worker)
        environ = api.environ() | {"RYLA_TEST_FACE": str(face)}
        _node("node", "--no-warnings", "--test", "dist/test/nsfw-sheet.test.js", environ=environ)
