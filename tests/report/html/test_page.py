"""Laws of the page: what may run in it is its own script alone."""

import base64
import hashlib
import re

import pytest
from made_runs import Page

from aqa_heads.report.html import Markup, document, element


def policy(source):
    (found,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', source)
    return dict(rule.split(" ", 1) for rule in found.replace("&#x27;", "'").split("; "))


def test_without_a_script_nothing_may_run_or_be_fetched():
    rules = policy(document("title", "text"))
    assert rules["default-src"] == "'none'" and "script-src" not in rules and "connect-src" not in rules


def test_the_script_is_the_only_one_that_the_policy_lets_run():
    script = "document.title = 'a < b && c';"
    source = document("title", "text", script=script)
    (shown,) = re.findall(r"<script>(.*?)</script>", source)
    assert shown == script
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy(source)["script-src"] == f"'sha256-{digest}'"


def test_more_is_let_in_by_name():
    rules = policy(document("title", allow={"media-src": "'self' file:", "img-src": "data: 'self'"}))
    assert rules["media-src"] == "'self' file:" and rules["img-src"] == "data: 'self'"
    assert rules["default-src"] == "'none'"


@pytest.mark.parametrize("script", ["'</SCRIPT>'", "a <!-- b"])
def test_a_script_that_would_end_itself_is_refused(script):
    with pytest.raises(ValueError, match="neither"):
        document("title", script=script)


def test_text_is_escaped_wherever_it_stands(tmp_path):
    bad = "\"><script>alert('1')</script>"
    page = tmp_path / "page.html"
    image = element("img", src="data:,", alt=bad, hidden=True)
    page.write_text(document(bad, bad, image, Markup("<hr>"), files=["a.csv"], refresh=30), encoding="utf-8")
    shown = Page(page)
    assert "script" not in shown.tags and shown.text.count(bad) == 2
    assert ("img", "hidden", None) in shown.attributes and ("img", "alt", bad) in shown.attributes
    assert ("meta", "content", "30") in shown.attributes and ("meta", "content", "a.csv") in shown.attributes
