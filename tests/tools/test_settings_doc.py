from config.settings import Settings, variable
from tools.settings_doc import TARGET, render


def test_the_page_of_settings_is_current() -> None:
    assert TARGET.read_text("utf-8") == render(), "run: python -m tools.settings_doc"


def test_every_setting_is_on_it() -> None:
    page = render()

    for name in Settings.model_fields:
        assert f"| `{variable(name)}` |" in page
