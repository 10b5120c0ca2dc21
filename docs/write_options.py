"""Writes the tables of options into docs/options.md: `python docs/write_options.py`. A test compares them."""

from pathlib import Path

from rvm_studio.core import options_markdown

PAGE = Path(__file__).with_name("options.md")
BEGIN, END = "<!-- The tables are made by docs/write_options.py. -->\n", "\n## Other commands"


def page() -> str:
    """The page with its tables written again from the options."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{options_markdown()}{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
