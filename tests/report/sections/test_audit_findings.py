"""Laws of the audit on a page."""

import pytest
from made_runs import AUDIT, LEAK, leave_out_drawing, make_run, report


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    leave_out_drawing(monkeypatch)


def audited(page):
    return page.text.split("Glossary", 1)[1].split(" Audit ", 1)[1].split("Where the numbers come from")[0]


def test_every_finding_stands_on_the_page_once(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "baseline"), make_run(tmp_path / "exp1", "1"))
    text = audited(page)
    found = {row["topic"] for row in page.table("audit")}
    assert found == {
        "samples",
        "leaks",
        "groups",
        "neighbours",
        "floors",
        "ceiling",
        "scores",
        "captions",
        "missing",
    }
    assert all(text.count(row["finding"]) == 1 for row in page.table("audit"))
    for needed in ("90 train", "2 of 5 test groups", ".560", "139 of 140", "4 of 140", "5 of 90 train"):
        assert needed in text
    assert "Baseline" not in text
    assert len(page.table("audit")) == len({row["finding"] for row in page.table("audit")})
    assert {row["runs"] for row in page.table("audit")} == {"baseline exp1"}


def test_leaks_are_named_on_the_page_and_listed_in_a_file(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "baseline", summary={"audit": AUDIT | {"leaks": [LEAK]}}))
    assert "1 of 40 test samples" in audited(page) and "t1 with s1" in audited(page)
    assert [row["sample_id"] for row in page.table("leaks")] == ["t1"]
    assert 'class="leak"' in page.source


def test_what_holds_for_some_runs_names_them(tmp_path):
    other = AUDIT | {"samples": AUDIT["samples"] | {"train": 80}}
    runs = [
        make_run(tmp_path / f"{name}{seed}", name, seed=seed, summary={"audit": other if seed else AUDIT})
        for name in ("baseline", "1")
        for seed in (0, 1)
    ]
    runs.append(make_run(tmp_path / "ridge", "ridge", summary={"audit": other}))
    text = audited(report(tmp_path, *runs))
    assert "90 train, 20 val, 40 test seed 0 of Baseline and Exp 1 80 train" in text
    assert "80 train, 20 val, 40 test Ridge and seed 1 of Baseline and Exp 1" in text


def test_floors_of_many_kinds_are_left_to_the_table(tmp_path):
    runs = []
    for seed in range(3):
        floors = AUDIT["floors"] | {
            "difficulty": AUDIT["floors"]["difficulty"] | {"spearman": 0.5 + seed / 100}
        }
        runs.append(make_run(tmp_path / str(seed), seed=seed, summary={"audit": AUDIT | {"floors": floors}}))
    page = report(tmp_path, *runs)
    assert "see the rows of Table 1" in audited(page) and "difficulty .510" not in audited(page)
    assert sum(row["topic"] == "floors" for row in page.table("audit")) == 3


def test_runs_without_an_audit_have_no_section(tmp_path):
    assert " Audit " not in report(tmp_path, make_run(tmp_path / "baseline", summary={"audit": None})).text
