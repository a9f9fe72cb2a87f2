"""benchmarks/results.py: sections of figures, and how they come together."""

import importlib.util

import pytest
from places import ROOT


@pytest.fixture
def results(monkeypatch):
    """benchmarks/results.py, which is no package."""
    spec = importlib.util.spec_from_file_location("results", ROOT / "benchmarks" / "results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "machine", lambda: "a machine")
    return module


def test_a_row_is_kept_when_it_is_made_and_merged_afterwards(results, tmp_path, monkeypatch):
    own, published = tmp_path / "figures.md", tmp_path / "RESULTS.md"
    monkeypatch.setattr(results, "RESULTS", published)
    results.write_section("speed", "Speed", "cmd", ["| old |"])
    results.write_section("speed", "Speed", "cmd", ["| new |"], unfinished=True)
    assert "| old |" in published.read_text() and "| new |" not in published.read_text()

    monkeypatch.setenv(results.VARIABLE, str(own))
    results.write_section("speed", "Speed", "cmd", ["| first |"], unfinished=True)
    assert "| first |" in own.read_text() and results.UNFINISHED in own.read_text()
    results.write_section("memory", "Memory", "cmd", ["| most |"])
    assert results.merge([tmp_path / "figures.md"]) == ["speed (unfinished)", "memory"]
    results.write_section("speed", "Speed", "cmd", ["| first |", "| second |"])
    assert results.UNFINISHED not in own.read_text()

    assert results.merge([own]) == ["speed", "memory"] and results.merge([own]) == ["speed", "memory"]
    text = published.read_text()
    assert text.count("<!-- begin ") == 2 and "| second |" in text and "| old |" not in text


def test_what_holds_no_section_is_not_merged(results, tmp_path):
    with pytest.raises(SystemExit, match="holds no section of results"):
        results.merge([tmp_path])


def test_prose_is_wrapped_and_code_and_tables_are_not(results):
    code = "`" + "word " * 40 + "`"
    assert results.wrapped(code + ", a date") == code + ",\na date"
    assert results.wrapped("| " + "word " * 40) == "| " + "word " * 40
    lines = results.wrapped("- " + "word " * 40).splitlines()
    assert len(lines) == 2 and lines[1].startswith("  word") and max(map(len, lines)) <= 110
