"""Laws of the samples on the page: every one with what each model says of it, where links lead."""

import re

import numpy as np
import pytest
from made_runs import make_run, report, rows_of_test

from aqa_heads.report import samples as module
from aqa_heads.report.families import read_families
from aqa_heads.report.report import Report
from aqa_heads.report.samples import Samples


@pytest.fixture
def runs(tmp_path):
    return [make_run(tmp_path / name, name, n=14) for name in ("baseline", "1")]


def test_errors_are_means_over_models_and_the_worst_come_first(runs):
    found = Samples.of_report(Report.of(read_families(runs)))
    rows = [rows_of_test(run) for run in runs]
    true = np.array([float(row["final_score"]) for row in rows[0]])
    said = np.array([[float(row["predicted_score"]) for row in of_run] for of_run in rows])
    order = [[row["sample_id"] for row in rows[0]].index(name) for name in found.names]
    assert np.allclose(found.true, true[order]) and np.allclose(found.predicted, said[:, order])
    assert np.allclose(found.error, np.abs(said - true).mean(axis=0)[order])
    assert found.worst == sorted(range(14), key=lambda place: -found.error[place])


def test_dots_name_their_sample_and_lead_to_its_row(runs, tmp_path):
    page = report(tmp_path, *runs)
    dots = re.findall(r'<a href="#(sample-\d+)" tabindex="-1"><title>([^<]*)</title>', page.source)
    assert len(dots) == 28 and {link for link, _ in dots} <= set(page.ids)
    for link, said in dots:
        row = re.search(rf'id="{link}">(.*?)</tr>', page.source)[1]
        assert said.split(":")[0] in row
    lines = page.table("samples")
    assert len(lines) == 28 and {line["row"] for line in lines} == {"Baseline", "Exp 1"}


def test_a_single_run_has_signed_errors_and_sorts_by_their_size(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "baseline", n=12))
    (line,) = [row for row in page.table("samples") if row["sample_id"] == "01_0000"]
    error = float(line["error"])
    shown = ("+" if error > 0 else "") + f"{error:.1f}".replace("-", "−")
    assert f'data-sort="{abs(error):.6g}">{shown}</td>' in page.source


def test_of_many_samples_the_page_has_those_that_are_furthest_off(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST", 12)
    page = report(tmp_path, *runs)
    assert len(re.findall(r'<tr id="sample-\d+"', page.source)) == 12
    assert "12 of 14 samples; samples.csv has all" in page.text and len(page.table("samples")) == 28


def test_pictures_stand_beside_the_samples_that_have_some(runs, tmp_path):
    asked = []

    def stills(names, caches):
        asked.extend([names, caches])
        return {names[0]: [b"first", b"second"]}

    page = report(tmp_path, *runs, stills=stills)
    assert page.source.count('<img src="data:image/jpeg;base64,') == 2 and len(asked[0]) == 10
    assert asked[1] == ["/data/c3d.h5"]


def test_without_scores_there_are_no_samples(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "baseline", n=0))
    assert "furthest off" not in page.text and page.table("samples") == []
