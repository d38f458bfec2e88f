import pytest

from config.errors import InvalidField, NotAvailable
from handlers.kinds.registry import KINDS, NOT_YET, lookup


def test_built_kinds_are_found_by_name() -> None:
    assert lookup("flux-dev").name == "flux-dev"
    assert all(kind.name == name for name, kind in KINDS.items())
    assert not NOT_YET & set(KINDS)


@pytest.mark.parametrize("name", sorted(NOT_YET))
def test_kinds_to_come_are_refused_as_not_available(name: str) -> None:
    with pytest.raises(NotAvailable, match=name) as caught:
        lookup(name)

    assert (caught.value.field, caught.value.value) == ("model", name)
    assert caught.value.hint == f"Available now: {', '.join(sorted(KINDS))}."


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("flux-dve", "Did you mean flux-dev?"),
        ("Flux-Instantid", "Did you mean flux-instantid?"),
        ("dall-e", f"Available now: {', '.join(sorted(KINDS))}."),
    ],
)
def test_other_names_are_invalid_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(InvalidField) as caught:
        lookup(name)

    assert caught.value.hint == hint
