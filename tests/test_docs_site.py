"""The documentation: its links lead somewhere, and the site that mkdocs builds of it has every public name."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import rvm_studio
from rvm_studio import core

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "assets", "bench", "training", ".github", "tests/rvm_nodes/real", "web/docs")
    for path in (ROOT / folder).glob("*.md")
)


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub and mkdocs name them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    api = set(re.findall(r"^::: (core\.\w+)$", text, re.MULTILINE))
    return api | {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    page = ROOT / name
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_names_every_page():
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    for index, folder in (("README.md", "docs/"), ("docs/README.md", "")):
        text = (ROOT / index).read_text(encoding="utf-8")
        assert {page for page in pages if f"]({folder}{page})" in text} == pages


@pytest.fixture(scope="module")
def site(published_tool, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [published_tool("mkdocs"), "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environ = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    answer = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder


@pytest.mark.slow
def test_the_site_has_a_heading_for_every_public_name(site):
    api = (site / "api" / "index.html").read_text(encoding="utf-8")
    headings = re.findall(r'<h3[^>]* id="(?:core\.)?(\w+)"', api)
    assert len(headings) == len(set(headings))
    assert {name.lower() for name in headings} == {name.lower() for name in {*rvm_studio.__all__, *core.__all__}}


@pytest.mark.slow
def test_the_site_shows_docstrings_as_they_are_written(site):
    api = (site / "api" / "index.html").read_text(encoding="utf-8")
    assert re.search(r"<li>\s*(<p>)?<code>downsample_ratio</code>: how far", api)
    assert '<span class="gp">&gt;&gt;&gt; </span>' in api
    assert "<em>" not in api.replace("<em>required</em>", "")  # of tables of parameters; no product's stars
    assert not re.search(r"<(folder|name|variant)>", api)  # placeholders


@pytest.mark.slow
def test_the_site_is_the_pages_alone(site):
    assert [path.name for path in site.glob("*.py")] == []
    pages = {path.parent.name for path in site.glob("*/index.html")}
    assert pages == {path.stem for path in (ROOT / "docs").glob("*.md")} - {"README"}


@pytest.mark.slow
def test_links_of_the_site_out_of_the_pages_lead_to_the_repository(site):
    text = (site / "speed" / "index.html").read_text(encoding="utf-8")
    assert 'href="https://github.com/rvm-studio/rvm-studio/blob/main/bench/README.md"' in text
