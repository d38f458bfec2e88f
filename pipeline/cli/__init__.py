"""The command line `ryla`, one module for each command or group of them."""


def main() -> None:
    from pipeline.cli.app import app
    from pipeline.cli.letters import speak_any_encoding

    speak_any_encoding()
    app()
