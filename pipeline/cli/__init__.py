"""The command line `ryla`, one module for each command or group of them."""


def main() -> None:
    from pipeline.cli.app import app

    app()
