"""Laws of the glossary: every term opens what is said of it, on the page and in the documentation."""

import pytest
from made_runs import Page
from places import ROOT

from aqa_heads.report.html import document, element, glossary, term
from aqa_heads.report.html.glossary import definitions


def test_a_term_opens_its_explanation_and_stands_in_the_glossary(tmp_path):
    page = tmp_path / "page.html"
    said = element("p", "No ", term("Floor", "floors"), " is above the ", term("Ceiling"), ".")
    page.write_text(document("title", said, *glossary(said)), encoding="utf-8")
    shown = Page(page)
    opened = [value for _, name, value in shown.attributes if name == "popovertarget"]
    assert opened == ["term-floor", "term-ceiling"] and set(opened) <= set(shown.ids)
    assert shown.text.count(definitions()["Floor"]) == 2  # where it opens, and in the glossary
    assert definitions()["Fold"] not in shown.text


def test_every_term_has_a_place_of_its_own():
    shown = "".join(map(term, definitions()))
    assert len(set(shown.split('popovertarget="'))) == len(definitions()) + 1
    assert all(said and "`" not in said for said in definitions().values())
    assert glossary(element("p", "no term")) == []
    with pytest.raises(KeyError):
        term("no such term")


def test_the_documentation_has_the_same_glossary():
    package = ROOT / "aqa_heads/report/html/glossary.md"
    assert (ROOT / "docs/glossary.md").read_bytes() == package.read_bytes(), "copy the one over the other"
