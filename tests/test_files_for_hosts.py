"""The files that GitHub, PyPI, Docker and others read, by their own validators and against each other."""

import re
import subprocess
from pathlib import Path

import pytest
from rvm_studio.core.weights.download import CATALOGUE

ROOT = Path(__file__).resolve().parent.parent
FORMS = [f".github/ISSUE_TEMPLATE/{name}.yml" for name in ("bug", "feature")]
WORKFLOW = ".github/workflows/checks.yml"
CHECKS = {
    "workflow": ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW],
    "issue forms": ["check-jsonschema", "--builtin-schema", "vendor.github-issue-forms", *FORMS],
    "dependabot": ["check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml"],
    "citation": ["check-jsonschema", "--builtin-schema", "vendor.citation-file-format", "CITATION.cff"],
    "pre-commit": ["pre-commit", "validate-config", ".pre-commit-config.yaml"],
    "pyproject": ["validate-pyproject", "pyproject.toml"],
    "image": ["hadolint", "Dockerfile"],
}


@pytest.mark.parametrize("what", CHECKS)
def test_it_is_what_its_reader_expects(published_tool, what):
    tool, *arguments = CHECKS[what]
    answer = subprocess.run([published_tool(tool), *arguments], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def only(pattern: str, name: str) -> str:
    (found,) = re.findall(pattern, text(name), re.MULTILINE)
    return found


def test_one_version():
    version = only(r'^version = "(.+)"$', "pyproject.toml")
    assert only(r'^__version__ = "(.+)"$', "__init__.py") == version
    assert only(r"^version: (.+)$", "CITATION.cff") == version
    assert re.findall(r"^## \[(\d.*?)\] - \d{4}-\d\d-\d\d$", text("CHANGELOG.md"), re.MULTILINE)[0] == version


def test_the_changelog_keeps_its_form():
    """https://keepachangelog.com: versions newest first, each with its date, and known kinds of changes below."""
    headings = re.findall(r"^## (.+)$", text("CHANGELOG.md"), re.MULTILINE)
    versions = [heading for heading in headings if heading != "[Unreleased]"]
    assert headings[-len(versions) :] == versions
    numbers = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", heading) for heading in versions]
    assert all(numbers), versions
    found = [(*map(int, number.groups()[:3]), number[4]) for number in numbers if number]
    assert found == sorted(found, reverse=True)
    kinds = set(re.findall(r"^### (.+)$", text("CHANGELOG.md"), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_same_pythons_are_named_and_tested():
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text("pyproject.toml"))
    assert re.findall(r'"(3\.\d+)"', only(r"^ +python: \[(.+)\]$", WORKFLOW)) == named
    assert only(r'^requires-python = ">=(.+)"$', "pyproject.toml") == named[0]


def test_the_place_of_publication_is_named_alike():
    repository = only(r'^Repository = "(.+?)"', "pyproject.toml")
    assert only(r"^repository-code: (.+)$", "CITATION.cff") == repository
    owned = re.findall(r"https://(?:raw\.githubusercontent|github)\.com/[\w-]+/rvm-studio", text("pyproject.toml"))
    assert {address.split("/")[-2] for address in owned} == {repository.split("/")[-2]}


def test_the_card_of_the_official_weights_names_those_that_are_fetched():
    card = text("assets/official_weights.md")
    for entry in CATALOGUE.values():
        assert entry.sha256 in card
        assert entry.file_name in card
        assert entry.installed_name in card
        assert entry.size is not None
        assert f"{entry.size // 4:,}" in card


@pytest.mark.parametrize("name", ["official_weights.md", "starter_weights.md"])
def test_a_model_card_begins_as_the_hub_reads_it(name):
    front = re.match(r"---\n(.+?)\n---\n\n# ", text(f"assets/{name}"), re.DOTALL)
    assert front
    assert {"license: gpl-3.0", "library_name: rvm-studio", "pipeline_tag: image-segmentation"} <= set(
        front[1].split("\n")
    )
