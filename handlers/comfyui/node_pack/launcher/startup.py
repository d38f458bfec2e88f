"""ComfyUI's main.py up to where a plain start would serve: everything but the executor's thread."""

import ast
import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any


class UnknownMain(Exception):
    """main.py is not built as this module expects."""


@dataclass(frozen=True)
class StartedUp:
    """What start_comfyui() gave, and the thread that it was kept from starting."""

    main: ModuleType
    argv: Sequence[str]
    server: Any
    start_all: Callable[[], Coroutine[Any, Any, None]]
    worker: Callable[..., Any]
    worker_args: Sequence[Any]


def start_up(folder: Path, argv: Sequence[str]) -> StartedUp:
    """Runs main.py of this folder with these arguments. Raises UnknownMain, or what it raises."""
    sys.argv = ["main.py", *argv]
    main = _main(folder / "main.py")
    with _withheld(main) as threads:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        _, server, start_all = main.start_comfyui(loop)
    if len(threads) != 1 or threads[0].target is not main.prompt_worker:
        raise UnknownMain("start_comfyui() did not start one thread, the executor's")
    return StartedUp(main, argv, server, start_all, threads[0].target, threads[0].args)


def _main(file: Path) -> ModuleType:
    """main.py as the main module, without its last statement, which starts and serves."""
    tree = ast.parse(file.read_bytes(), str(file))
    last = tree.body.pop() if tree.body else None
    if not isinstance(last, ast.If) or "start_comfyui" not in ast.dump(last):
        raise UnknownMain("the last statement of main.py does not start ComfyUI")
    main = ModuleType("__main__")
    main.__file__ = str(file)
    sys.modules["__main__"] = main
    exec(compile(tree, str(file), "exec"), vars(main))
    return main


@contextmanager
def _withheld(main: ModuleType) -> Iterator[list[SimpleNamespace]]:
    """Threads that main.py makes meanwhile are noted and not started."""
    held: list[SimpleNamespace] = []

    def thread(**given: Any) -> SimpleNamespace:
        held.append(SimpleNamespace(**given, start=lambda: None))
        return held[-1]

    threading = main.threading
    main.threading = SimpleNamespace(Thread=thread)  # type: ignore[attr-defined]
    try:
        yield held
    finally:
        main.threading = threading  # type: ignore[attr-defined]
