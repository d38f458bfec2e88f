"""The command line `ryla`, one module for each group of commands."""


def main() -> None:
    from pipeline.cli.app import app  # noqa: PLC0415  so that importing the package costs nothing

    app()
