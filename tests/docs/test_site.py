"""The documentation as a site: it is built without a warning, and read without a network."""

import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser

import click
import pytest
from browsers import chromium
from pages import SCRIPTS, console
from places import ROOT

import aqa_cache
import aqa_heads

REFERENCE = {aqa_cache: "aqa_cache", aqa_heads: "aqa_heads"}
DIRECTIVE = re.compile(r"^\.\. (?:auto(?:class|function)|py:data):: (\w+)$", re.M)


@pytest.mark.parametrize("package", REFERENCE, ids=lambda package: package.__name__)
def test_the_reference_has_every_public_name_and_no_other(package):
    text = (ROOT / f"docs/reference/{REFERENCE[package]}.md").read_text()
    assert sorted(DIRECTIVE.findall(text)) == sorted(package.__all__)


def test_the_reference_has_every_command():
    text = (ROOT / "docs/reference/commands.md").read_text()
    assert set(re.findall(r":prog: (.*)", text)) == set(SCRIPTS)
    assert all(f".. click:: {target}\n   :prog: {script}" in text for script, target in SCRIPTS.items())


def test_every_page_is_in_the_contents():
    named = (ROOT / "docs/index.md").read_text()
    pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    lacking = {page.as_posix() for page in pages} - {"index"} - set(re.findall(r"^[\w/]+$", named, re.M))
    assert not lacking, f"docs/index.md has no {', '.join(sorted(lacking))} in its contents"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("sphinx", reason="needs the extra docs")
    pytest.importorskip("myst_parser", reason="needs the extra docs")
    pytest.importorskip("sphinx_click", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    call = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", folder / "trees"]
    result = subprocess.run([*call, ROOT / "docs", folder / "html"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    yield folder / "html"
    shutil.rmtree(folder)


class Loaded(HTMLParser):
    """What a browser loads with a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        if tag in ("script", "img", "iframe", "source") and names.get("src"):
            self.found.append(names["src"])
        if tag == "link" and names.get("rel") in ("stylesheet", "icon", "preload"):
            self.found.append(names["href"])


@pytest.mark.extra
def test_nothing_is_loaded_from_a_network(site):
    for page in site.rglob("*.html"):
        for target in Loaded(page.read_text()).found:
            assert not re.match(r"(\w+:)?//", target), f"{page.name} loads {target}"
            assert (page.parent / target.split("?")[0]).is_file(), f"{page.name} loads {target}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", sheet.read_text()), sheet


@pytest.mark.extra
def test_every_option_of_every_command_is_on_a_page(site):
    shown = unescape(re.sub(r"<[^>]+>", "", (site / "reference/commands.html").read_text()))
    for script in SCRIPTS:
        whole, _ = console([script])
        for command in (whole, *getattr(whole, "commands", {}).values()):
            for option in command.params:
                if isinstance(option, click.Option) and not option.hidden:
                    lacking = [name for name in option.opts if name not in shown]
                    assert not lacking, f"{script} {command.name}: {lacking}"


@pytest.mark.extra
def test_every_public_name_has_its_docstring_on_the_site(site):
    for package, page in REFERENCE.items():
        shown = (site / f"reference/{page}.html").read_text()
        for name in package.__all__:
            assert f'id="{package.__name__}.{name}"' in shown, name


@pytest.mark.extra
def test_links_carry_titles_and_no_file_names(site):
    for page in site.rglob("*.html"):
        links = re.findall(r"<a [^>]*>(.*?)</a>", page.read_text(), re.S)
        assert not [link for link in links if re.search(r"\w\.md\b", link)], page.name


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.mark.extra
@pytest.mark.browser
def test_it_can_be_searched_from_the_file_system(site, browser):
    page, wrong = browser.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.fill("input.sidebar-search", "fingerprint")
    page.press("input.sidebar-search", "Enter")
    page.wait_for_function("document.body.innerText.includes('Search finished')")
    assert "Scoring a new video" in page.locator("#search-results").inner_text()
    page.wait_for_timeout(300)
    assert wrong == []


@pytest.mark.extra
@pytest.mark.browser
def test_no_page_is_wider_than_a_phone(site, browser):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    for path in site.rglob("*.html"):
        page.goto(path.as_uri())
        assert page.evaluate("(scrollTo(999, 0), scrollX)") == 0, path.name
    page.goto((site / "index.html").as_uri())
    assert not page.evaluate("[...document.querySelectorAll('pre')].some(e => e.scrollWidth > e.clientWidth)")
