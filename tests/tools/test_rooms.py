from pathlib import Path

from tools.rooms import Module, arrows, circles, figures, room_of


def module(name: str, *imports: str) -> Module:
    return Module(name, Path(f"{name.replace('.', '/')}.py"), frozenset(imports))


def test_a_room_is_a_folder_at_the_top_or_what_lies_right_under_pipeline() -> None:
    assert room_of("config.tables") == "config"
    assert room_of("handlers.kinds.flux") == "handlers"
    assert room_of("pipeline.costs") == "pipeline/costs"
    assert room_of("pipeline.queue.claim") == "pipeline/queue"
    assert room_of("ryla_client._core") == "clients"


def test_an_arrow_counts_once_however_often_a_room_imports_another() -> None:
    found = [module("a.one", "b.one", "b.two"), module("a.two", "b.one", "a.one"), module("b.one")]
    assert arrows(found) == {"a": {"b"}, "b": set()}


def test_floors_are_the_rooms_on_the_longest_way_down() -> None:
    told = figures([module("a", "b", "d"), module("b", "c"), module("c"), module("d")])
    assert (told.rooms, told.floors, told.arrows) == (4, 3, 3)
    assert (told.back_up, told.circles) == (0, ())


def test_of_a_circle_the_fewest_arrows_lead_back_up() -> None:
    told = figures([module("a", "b"), module("b", "c", "a"), module("c", "a")])
    assert (told.back_up, told.circles) == (1, (("a", "b", "c"),))
    assert told.floors == 3


def test_modules_of_one_room_can_stand_in_a_circle_too() -> None:
    told = figures([module("a.one", "a.two"), module("a.two", "a.one")])
    assert (told.arrows, told.circles) == (0, (("a.one", "a.two"),))
    assert circles({"x": ["y"], "y": []}) == []
