"""`ryla sheets`: character sheets in batches. Here is `list`; other commands have a module each.

Such a module is named `sheets_<command>`, and its `register` takes this group.
"""

import typer

from pipeline.batches.batch import batch_names
from pipeline.cli import (
    output,
    sheets_compare,
    sheets_export,
    sheets_page,
    sheets_redo,
    sheets_review,
    sheets_status,
    sheets_submit,
)
from pipeline.cli.options import Json, StateDir, bucket_settings
from pipeline.store.open import open_store

HELP = "Character sheets in batches: send, look, review, make again, export."
LIST_HELP = """List the batches by name.

Example:

    ryla sheets list
"""


def register(app: typer.Typer) -> None:
    group = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode="markdown")
    app.add_typer(group, name="sheets")
    sheets_submit.register(group)
    sheets_status.register(group)
    group.command("list", help=LIST_HELP)(_list)
    sheets_page.register(group)
    sheets_review.register(group)
    sheets_redo.register(group)
    sheets_compare.register(group)
    sheets_export.register(group)


@output.command
def _list(state_dir: StateDir = None, json: Json = False) -> None:
    names = batch_names(open_store(bucket_settings(state_dir)))
    if json:
        output.print_json({"batches": names})
    else:
        output.out().print(output.table(None, ("=batch",), [(name,) for name in names]))
