"""Tables of numbers, texts and gaps."""

import csv

from rvm_studio.core.evaluation.table import MEANINGS, comma_separated, markdown, text

HEADER = ["clip", "frames", "mad"]
ROWS = [["a|b, c", 12, 3.14159], ["x", 5, None]]


def test_text_is_aligned():
    assert text(HEADER, ROWS).splitlines() == [
        "clip    frames   mad",
        "a|b, c      12  3.14",
        "x            5     –",
    ]
    assert text(HEADER, []) == "clip  frames  mad"


def test_markdown_escapes_and_aligns_numbers():
    assert markdown(HEADER, ROWS).splitlines() == [
        "| clip | frames | mad |",
        "| --- | ---: | ---: |",
        "| a\\|b, c | 12 | 3.14 |",
        "| x | 5 | – |",
    ]


def test_csv_keeps_every_digit():
    read = list(csv.reader(comma_separated(HEADER, ROWS).splitlines()))
    assert read == [HEADER, ["a|b, c", "12", "3.14159"], ["x", "5", ""]]
    value = 1 / 3
    (_, row) = csv.reader(comma_separated(["x"], [[value]]).splitlines())
    assert float(row[0]) == value


def test_every_metric_has_a_meaning():
    assert list(MEANINGS) == ["mad", "mse", "grad", "conn", "dtssd", "fgr_mad", "fgr_mse"]
