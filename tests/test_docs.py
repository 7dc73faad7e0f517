"""Every link between the documents leads somewhere, and the map knows every page."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "roles", "local", "tofu", "molecule", "playbooks")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md") if ".terraform" not in page.parts)]
)
CONCEPTS = sorted((ROOT / "docs/concepts").glob("*.md"))
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a heading is called in a link: GitHub's rule, lower case, no punctuation but - and _, blanks to hyphens."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+?)\s*$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)", CODE.sub("", page.read_text()))
    for target, anchor in links:
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


def test_the_map_knows_every_page():
    mapped = set(re.findall(r"^\| \[[^]]+\]\(([\w/]+\.md)\)", (ROOT / "docs/README.md").read_text(), flags=re.MULTILINE))
    assert mapped == {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")} - {"README.md"}


@pytest.mark.parametrize("page", CONCEPTS, ids=lambda page: page.stem)
def test_a_concept_has_the_shape_of_all_and_a_lab_that_types_it(page):
    text = page.read_text()
    parts = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    broken = [it for it in parts if it.startswith("Break: ")]
    assert parts == ["What the role wrote", "Look", *broken, "In the whole cluster", "Read on"] and len(broken) >= 2
    assert text.splitlines()[1].startswith("**The question: ")
    assert text.count("```mermaid") == 1
    assert f"make lab CONCEPT={page.stem} " in text
    look = text[text.index("## Look") : text.index("## Break")]
    assert len(re.findall(r"^root@[\w-]+:~# ", look, flags=re.MULTILINE)) >= 5
    assert [it for it in (ROOT / "molecule").glob("*/tests/test_page.py") if f'page("{page.stem}")' in it.read_text()]


def test_the_sample_of_a_ci_calls_only_make():
    jobs = yaml.safe_load((ROOT / "docs/samples/ci.yml").read_text())["jobs"].values()
    runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert runs and all(re.match(r"sudo make ", run) and "\n" not in run for run in runs)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", " ".join(runs))) | set(re.findall(r"'(test[a-z-]*)'", " ".join(runs)))
    assert named == {"check", "test", "test-all"}
    assert named <= targets
