"""An extension of Griffe: docstrings as Markdown. Descriptions of parameters become a list, examples become code."""

import re

import griffe


class DocstringMarkdown(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        if obj.docstring:
            names = described(obj)
            paragraphs = obj.docstring.value.split("\n\n")
            obj.docstring.value = "\n\n".join(markdown(paragraph, names) for paragraph in paragraphs)


def described(obj: griffe.Object) -> set[str]:
    """The names that a docstring may describe: parameters, and a class's own members."""
    if isinstance(obj, griffe.Function):
        return {parameter.name for parameter in obj.parameters}
    constructor = obj.members.get("__init__")
    return set(obj.members) | (described(constructor) if isinstance(constructor, griffe.Function) else set())


def markdown(paragraph: str, names: set[str]) -> str:
    text, example, code = paragraph.partition(">>> ")
    if example:
        return f"{markdown(text.strip(), names)}\n\n```pycon\n>>> {code}\n```"

    def item(start: re.Match) -> str:
        return f"\n- `{start[1]}`: " if set(start[1].split(", ")) <= names else start[0]

    text, *items = re.sub(r"(?:^|(?<=[.);])\s+)(\w+(?:, \w+)*): ", item, paragraph).split("\n- `")
    unbroken = (re.sub(r"\s*\n\s*", " ", described) for described in items)
    text = escaped(text)
    listed = "\n".join([text, "", *(escaped(f"- `{described}") for described in unbroken)]) if items else text
    return re.sub(r"\. (?=Raises |Returns )", ".\n\n", listed).strip()


def escaped(text: str) -> str:
    """Stars and angle brackets as they are, outside of code: here they mean products and placeholders."""
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = (part.replace("*", r"\*").replace("<", "&lt;") for part in parts[::2])
    return "".join(parts)
