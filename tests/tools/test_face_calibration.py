from handlers.faces.calibration import shipped
from tools.face_calibration import BEGIN, END, PAGE, read_people, separation, with_tables


def test_pairs_make_people_also_where_one_follows_from_others() -> None:
    rows = "file_x,file_y,Decision\na,b,Yes\nc,d,Yes\nb,c,Yes\na,e,No\n"

    assert read_people(rows) == {"a": ["a", "b", "c", "d"], "e": ["e"]}


def test_only_what_stands_between_the_marks_is_replaced() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"

    assert with_tables(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_the_page_s_separation_is_the_shipped_calibration_s() -> None:
    calibration = shipped("dlib-resnet-v1")

    assert calibration is not None
    assert "\n".join(separation(calibration)) in PAGE.read_text("utf-8")
