import ast
import sys
from pathlib import Path
from types import ModuleType

import ryla_client

PACKAGE = Path(ryla_client.__file__).parent
OWN = {"ryla_client", "httpx"}


def test_what_is_exported_is_what_is_public() -> None:
    public = {
        name
        for name, value in vars(ryla_client).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }

    assert ryla_client.__all__ == sorted(public)


def test_nothing_but_httpx_and_the_standard_library_is_imported() -> None:
    imported = set()
    for file in [*PACKAGE.glob("*.py"), *PACKAGE.parent.glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
            if isinstance(node, ast.Import):
                imported |= {each.name.partition(".")[0] for each in node.names}

    assert imported - sys.stdlib_module_names == OWN
