"""The rows of the table of options, and the tables that are made of them."""

from rvm_studio.core.clips.option_form import Door, Option, markdown

ROWS = [
    Option(name="warm_up", kind="count", group="b", help="frames (default: 1)", metavar="N", short="-w"),
    Option(name="how", kind="choice", group="b", help="one of two.", choices=("x", "y"), python=None),
    Option(name="frame_rate", kind="rate", group="a", help="of pictures", command="--fps", python="rate"),
    Option(name="hidden", kind="flag", group="a", help="not for the command line", command=None),
]


def test_names_at_the_doors():
    assert [option.flag for option in ROWS] == ["--warm-up", "--how", "--fps", None]
    assert [option.keyword for option in ROWS] == ["warm_up", None, "rate", "hidden"]
    assert Door(name="x").default is Door(name="y").low


def test_tables():
    text = markdown({"a": "first", "b": "second", "c": "empty"}, ROWS)
    assert text == (
        "### First\n\n| option | Python | what it does |\n|---|---|---|\n| `--fps RATE` | `rate` | Of pictures. |\n\n"
        "### Second\n\n| option | Python | what it does |\n|---|---|---|\n"
        "| `-w, --warm-up N` | `warm_up` | Frames (default: 1). |\n| `--how x\\|y` | – | One of two. |\n"
    )
