"""Laws of the report as a whole: what it shows is what the run folders say, it stands alone, and it keeps
what is not its own.
"""

import csv
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from at_once import at_once
from click.testing import CliRunner
from made_runs import (
    AUDIT,
    FLOORS,
    Page,
    change_tests,
    leave_out_drawing,
    make_run,
    read_table,
    report,
    rows_of_test,
)

from aqa_cache.errors import MissingDependency
from aqa_cli.report import main
from aqa_heads.errors import RunError
from aqa_heads.evaluation.bootstrap import MIN_SAMPLES, spearman_interval
from aqa_heads.report import writing
from aqa_heads.report.html import COLOURS, document, files_of_page
from aqa_heads.report.writing import write_report


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A folder of three runs on the same test samples, and their page."""
    folder = tmp_path_factory.mktemp("three")
    for name, experiment, rho in (("exp4", "4", 0.7), ("baseline", "baseline", 0.5), ("exp2", "2", 0.3)):
        make_run(
            folder / "runs" / name,
            experiment,
            rho=rho,
            words=50,
            protocol="paper" if name == "exp2" else "honest",
        )
    return folder / "runs", write_report(
        [folder / "runs"], folder / "report.html", preface=["A line.", "And < another."]
    )


@pytest.fixture
def undrawn(monkeypatch):
    leave_out_drawing(monkeypatch)


# What it shows.


def test_every_run_appears_in_the_order_of_table_1_with_the_numbers_of_its_summary(three):
    runs, path = three
    page = Page(path)
    places = [page.source.index(f"</span>{short}") for short in ("Baseline", "Exp 2", "Exp 4")]
    assert places == sorted(places)
    for run in runs.iterdir():
        summary = json.loads((run / "summary.json").read_text())
        for name in ("spearman", "kendall", "pearson", "relative_l2", "mae", "train_loss", "parameters"):
            assert summary[name] in page.values
        assert summary["seconds"]["total"] in page.values
        assert set(summary["class_accuracy"].values()) | set(summary["majority_accuracy"].values()) <= set(
            page.values
        )
        mean = np.mean(list(summary["class_accuracy"].values()))
        assert np.isclose(page.values, mean, rtol=1e-12).any()
        assert f"{summary['spearman']:.3f}" in page.text
    for needed in (
        "40 test samples",
        "seed 0",
        "nothing chosen on the test set",
        "A line.",
        "And < another.",
    ):
        assert needed in page.text


def test_floors_are_rows_and_dashed_lines_with_a_sentence(three):
    page = Page(three[1])
    numbers = {
        number for floor in FLOORS.values() for name, number in floor.items() if name not in ("n", "n_unseen")
    }
    assert numbers - {None} <= set(page.values)
    for needed in (
        "Training mean",
        "Difficulty alone",
        "Group mean 0.64",
        "Difficulty × group 0.67",
        "Class mean 0.41",
        "floors , predictions without the video",
    ):
        assert needed in page.text


def test_intervals_stand_beside_the_correlations(three):
    runs, path = three
    rows = rows_of_test(runs / "exp4")
    low, high = spearman_interval(
        *(np.array([float(row[name]) for row in rows]) for name in ("final_score", "predicted_score")),
        groups=[row["group"] for row in rows],
    )
    assert f"{low:.3f} to {high:.3f}" in Page(path).text


def test_provenance_and_notes_stand_on_the_page(three):
    text = Page(three[1]).text
    for needed in (
        "c3dc3dc3dc3d",
        "/data/c3d.h5",
        "sports1m",
        "torch 2.15.0",
        "36 training samples are also in the test",
        "made for experiment 4",
        "batch size",
        "700 MiB",
        "5 (validation Spearman 0.700)",
    ):
        assert needed in text


def test_every_table_and_figure_is_a_file_and_every_file_is_named_on_the_page(three):
    page = Page(three[1])
    files = {file.name: file.read_bytes() for file in three[1].with_name("report_files").iterdir()}
    for name, content in files.items():
        if name.endswith(".png"):
            assert content.startswith(b"\x89PNG\r\n") and len(content) > 5000
        elif name.endswith(".pdf"):
            assert content.startswith(b"%PDF-") and name.replace(".pdf", ".png") in files
        elif name.endswith((".tex", ".md")):
            assert all(row in content.decode() for row in ("Baseline", "Exp 2", "Difficulty alone"))
        else:
            header, *rows = csv.reader(content.decode().splitlines())
            assert rows and all(len(row) == len(header) for row in rows)
        assert f"./report_files/{name}" in {value for _, key, value in page.attributes if key == "href"}
        assert name.rpartition(".")[0] in page.text
    tables = (
        "results",
        "runs",
        "differences",
        "curves",
        "samples",
        "scatter",
        "groups",
        "classes",
        "confusion_position",
        "confusion_armstand",
        "confusion_rotation",
        "captions",
        "predicted_captions",
        "audit",
    )
    assert {name for name in files if name.endswith(".csv")} == {f"{name}.csv" for name in tables}
    shared = {
        "correlation_intervals",
        "differences",
        "training_loss",
        "validation_correlation",
        "test_correlation",
        "group_errors",
        "group_correlations",
        "caption_loss",
        *(f"confusion_{name}" for name in ("position", "armstand", "rotation")),
    }
    assert {f"{name}.png" for name in shared} <= files.keys()
    for run in ("baseline", "exp_2", "exp_4"):
        assert {f"scatter_{run}.png", f"training_loss_{run}.png"} <= files.keys()


def test_tables_hold_the_exact_numbers(three):
    runs, path = three
    page = Page(path)
    rows = {row["row"]: row for row in page.table("results")}
    for run, short in (("baseline", "Baseline"), ("exp2", "Exp 2"), ("exp4", "Exp 4")):
        summary = json.loads((runs / run / "summary.json").read_text())
        for name in ("spearman", "kendall", "pearson", "relative_l2", "mae", "train_loss", "parameters"):
            assert float(rows[short][name]) == summary[name]
        epochs = [row for row in page.table("curves") if row["row"] == short]
        written = read_table(runs / run / "metrics.csv")
        for name in ("train_loss", "val_spearman", "test_spearman"):
            assert [row[name] and float(row[name]) for row in epochs] == [
                row[name] and float(row[name]) for row in written
            ]
        tested = [row for row in page.table("scatter") if row["row"] == short]
        assert [float(row["predicted_score"]) for row in tested] == [
            float(row["predicted_score"]) for row in rows_of_test(runs / run)
        ]
    assert float(rows["difficulty"]["spearman"]) == 0.5603 and rows["difficulty"]["kind"] == "floor"
    assert float(rows["judge"]["spearman"]) == 0.961


# What it is.


def test_page_needs_nothing_from_elsewhere(three):
    page = Page(three[1])
    assert "http://" not in page.source and "https://" not in page.source
    assert not page.tags & {"link", "iframe", "object", "embed", "base", "form"}
    for tag, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "srcset", "href", "xlink:href", "action", "poster"):
            # A link is followed by hand; everything else would be fetched.
            assert value.startswith(("#", "data:image/png;base64,")) or (
                tag == "a" and value.startswith("./report_files/")
            )
    assert all(inside.startswith("#") for inside in re.findall(r"url\(['\"]?(.)", page.source))
    assert "@import" not in page.source
    assert any(
        value.startswith("default-src 'none'; ") for _, name, value in page.attributes if name == "content"
    )


def test_references_inside_the_page_find_their_part(three):
    page = Page(three[1])
    assert len(page.ids) == len(set(page.ids))
    named = [
        value[1:] for _, name, value in page.attributes if name.endswith("href") and value.startswith("#")
    ]
    assert set(named + re.findall(r"url\(#([^)]+)\)", page.source)) <= set(page.ids)


def test_figures_take_the_colours_of_light_and_dark(three):
    page = Page(three[1])
    figures = "".join(re.findall(r"<svg.*?</svg>", page.source, re.DOTALL))
    assert not re.findall(r"[:\"]\s*#[0-9a-f]{3,6}\b", figures)
    assert {"--series-0", "--series-1", "--series-2"} <= set(re.findall(r"var\((--[a-z0-9-]+)\)", figures))
    assert set(re.findall(r"var\(--([a-z0-9-]+)\)", page.source)) <= COLOURS.keys() | {
        "page",
        "raised",
        "alarm",
        "alarm-page",
    }
    assert "prefers-color-scheme:dark" in page.source and "@media print" in page.source


def test_same_runs_give_the_same_bytes(tmp_path):
    run = make_run(tmp_path / "baseline", n=12, classes=("position",), captions=False)
    made = [write_report([run], tmp_path / place / "report.html") for place in "ab"]
    files = [
        [(f.name, f.read_bytes()) for f in (page, *sorted(page.with_name("report_files").iterdir()))]
        for page in made
    ]
    assert files[0] == files[1]


def test_text_of_every_origin_is_escaped(tmp_path):
    bad = "<script>alert('1')</script> & $x_1$ </svg>"
    audit = AUDIT | {"shared_groups": {"train, test": {"groups": [bad], "samples": 1}}}
    run = make_run(
        tmp_path / "exp<1>&$a$",
        caption=bad,
        sample="<b>",
        summary={"audit": audit, "per_group": {bad: {"n": 3, "mae": 1}}},
        config={"experiment": "own", "label": bad, "notes": [bad], "device": bad},
    )
    change_tests(run, "class_position", lambda _: bad)
    page = report(tmp_path, run, title=bad, preface=[bad])
    assert page.source.count("<script>") == 1  # its own
    assert page.text.count(bad) >= 8  # title twice, preface, label, note, device, captions, audit
    assert "exp<1>&$a$" in page.text and re.search(r"<b>0\d_00\d\d", page.text)


# Whatever the runs are.


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"n": 0}, "no test samples"),
        ({"classes": (), "captions": False}, "Predicted and true scores"),
        ({"summary": {"spearman": None}}, "undefined"),
        ({"summary": {"spearman": float("nan"), "floors": None, "class_accuracy": None}}, "undefined"),
        ({"epochs": 1, "n": MIN_SAMPLES - 1}, "ρ ="),
        ({"caption": "", "words": 0}, "Learning curves"),
        ({"config": {"features": {}, "table1": None, "protocol": None, "notes": None}}, "not recorded"),
        (
            {
                "summary": {
                    "audit": None,
                    "ceiling": None,
                    "captions": None,
                    "per_group": None,
                    "chosen": None,
                    "seconds": None,
                }
            },
            "Learning curves",
        ),
        ({"experiment": "ridge"}, "Ridge"),
    ],
    ids=[
        "no-test-set",
        "score-only",
        "undefined-rho",
        "nan",
        "one-epoch",
        "empty-captions",
        "sparse-config",
        "sparse-summary",
        "closed-form",
    ],
)
def test_a_single_run_of_any_kind_makes_a_page(tmp_path, options, shown, request):
    if "n" not in options:  # those draw what is special; the others only say it
        request.getfixturevalue("undrawn")
    page = report(tmp_path, make_run(tmp_path / "run", **options))
    assert shown in page.text
    assert "1 run ·" in page.text and "Row by row" not in page.text
    assert "nan" not in page.text.lower().split() and "None" not in page.text.split()


# Mistakes.


def refused(*arguments):
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == 2 and "Traceback" not in result.output
    return result.output


def test_all_that_are_no_finished_runs_are_named_in_one_message(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    make_run(tmp_path / "runs" / "baseline")
    (make_run(tmp_path / "runs" / "exp1", "1") / "summary.json").unlink()
    said = refused(
        tmp_path / "empty", tmp_path / "file", tmp_path / "gone", tmp_path / "runs", "-o", tmp_path / "x.html"
    )
    for needed in (
        "empty: neither a run nor",
        "file: is a file",
        "gone: does not exist",
        "exp1: not a finished run, without summary.json",
    ):
        assert needed in said
    assert not (tmp_path / "x.html").exists()


def test_a_run_in_the_making_is_no_run_yet(tmp_path, undrawn):
    make_run(tmp_path / "runs" / "baseline", n=12)
    (tmp_path / "runs" / ".exp1.unfinished").mkdir()
    (tmp_path / "runs" / ".exp1.unfinished" / "config.json").touch()
    assert "1 run ·" in report(tmp_path, tmp_path / "runs").text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("summary.json", "{"),
        ("config.json", "[1]"),
        ("predictions.csv", "sample_id,split\n1,test\n"),
        ("metrics.csv", "epoch,train_loss\nx,1\n"),
        ("predictions.csv", "a,b\n"),
        ("config.json", '{"features": "x"}'),
        ("config.json", '{"table1": "x"}'),
        ("summary.json", '{"floors": 3}'),
        ("summary.json", '{"notes": 3}'),
        ("summary.json", '{"ceiling": 3}'),
        ("summary.json", '{"audit": {"leaks": 3}}'),
        ("summary.json", '{"audit": {"samples": {}, "leaks": [{"x": 1}]}}'),
        ("summary.json", '{"audit": null, "ceiling": {"n": [2]}}'),
        ("contributions.csv", "sample_id,clip\na,0\n"),
        ("contributions.csv", "sample_id,clip,weight\na,0,inf\n"),
        ("contributions.csv", "sample_id,clip,weight\na,0,0.5\na,0,0.5\n"),
        ("contributions.csv", "sample_id,clip,weight\na,7,0.5\n"),
        ("contributions.csv", "sample_id,clip,weight\na,x,0.5\n"),
        ("caption_attention.csv", "sample_id,clip,weight\na,0,1\n"),
    ],
)
def test_damaged_run_is_named(tmp_path, name, content, undrawn):
    run = make_run(tmp_path / "baseline")
    (run / name).write_text(content)
    said = refused(run, "-o", tmp_path / "report.html")
    assert str(run) in said and "train the run again" in said


def test_names_that_cannot_be_are_one_message(tmp_path, undrawn):
    run = make_run(tmp_path / "baseline", n=12)
    assert "is empty, expected the name of a file or folder" in refused("")
    with pytest.raises(RunError, match="the name of a folder is empty"):
        write_report([""], tmp_path / "report.html")
    assert "File name too long" in refused("y" * 300)
    assert "File name too long" in refused(run, "-o", tmp_path / ("y" * 300))
    assert "is empty" in refused(run, "-o", "") and "is a folder" in refused(run, "-o", ".")
    os.mkfifo(tmp_path / "report.html")
    assert "is no plain file" in refused(run, "-o", tmp_path / "report.html")
    (run / "config.json").unlink()
    os.mkfifo(run / "config.json")
    assert "not a finished run, without config.json" in refused(run, "-o", tmp_path / "other.html")


def test_output_that_is_something_else_is_left_alone(tmp_path, undrawn):
    run = make_run(tmp_path / "baseline", n=12)
    page = tmp_path / "mine.html"
    page.write_text("<p>mine</p>")
    assert "--force" in refused(run, "-o", page)
    assert page.read_text() == "<p>mine</p>"
    assert "is a folder" in refused(run, "-o", run)
    (tmp_path / "note_files").mkdir()
    (tmp_path / "note_files" / "note.txt").touch()
    assert "note.txt" in refused(run, "-o", tmp_path / "note.html")
    (tmp_path / "other_files").touch()
    assert "is a file" in refused(run, "-o", tmp_path / "other.html")
    result = CliRunner().invoke(main, [str(run), "-o", str(page), "--force", "--title", "Ours"])
    assert result.exit_code == 0 and str(page) in result.output
    assert "Ours" in Page(page).text


def test_a_report_replaces_an_earlier_one_and_its_files(tmp_path, undrawn):
    runs = [make_run(tmp_path / "baseline", n=12), make_run(tmp_path / "exp1", "1", n=12)]
    report(tmp_path, *runs)
    folder = tmp_path / "report_files"
    assert (folder / "scatter_exp_1.png").exists() and (folder / "captions.csv").exists()
    mine = [folder / name for name in ("mine.png", "mine.csv")]
    for file in mine:
        file.touch()
    page = report(tmp_path, make_run(tmp_path / "exp3", "3", n=12, captions=False))
    left = {file.name for file in folder.iterdir()}
    assert {"mine.png", "mine.csv", "results.csv", "scatter_exp_3.png"} <= left
    assert not left & {"scatter_exp_1.png", "captions.csv", "caption_loss.png"}
    assert all(name in page.source for name in left - {"mine.png", "mine.csv"})
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_reports_that_are_written_at_once_to_one_place_leave_one_of_them_whole(tmp_path):
    """None takes files that another is just writing for a stranger's, and each names all that is there."""
    page = tmp_path / "report.html"

    def write(first):
        files = [f"{letter}.csv" for letter in "abcdef"[first : first + 3]]
        for _ in range(10):
            writing._write_alone(page, document("Report", files=files), dict.fromkeys(files, b"1"), False)

    at_once(*(lambda first=first: write(first) for first in range(4)))
    assert sorted(files_of_page(page)) == sorted(os.listdir(tmp_path / "report_files"))
    assert sorted(os.listdir(tmp_path)) == ["report.html", "report_files"]


def test_a_file_that_no_report_names_is_replaced_only_when_asked(tmp_path, undrawn):
    run, page, folder = (
        make_run(tmp_path / "baseline", n=12),
        tmp_path / "report.html",
        tmp_path / "report_files",
    )
    folder.mkdir()
    (folder / "results.csv").write_text("mine")
    said = refused(run, "-o", page)
    assert (
        "report_files: holds files of the names that" in said and "results.csv" in said and "--force" in said
    )
    assert [file.name for file in folder.iterdir()] == ["results.csv"] and not page.exists()
    assert (folder / "results.csv").read_text() == "mine"
    write_report([run], page, force=True)
    assert (folder / "results.csv").read_text() != "mine"
    (folder / "captions.csv").unlink(missing_ok=True)
    write_report([make_run(tmp_path / "exp3", "3", n=12, captions=False)], page)
    (folder / "captions.csv").write_text("mine")  # of a name that this report has not
    assert "(captions.csv)" in refused(run, "-o", page)


def test_no_file_of_a_report_is_written_through_a_link(tmp_path, undrawn):
    run, page, folder = (
        make_run(tmp_path / "baseline", n=12),
        tmp_path / "report.html",
        tmp_path / "report_files",
    )
    (tmp_path / "thesis").mkdir()
    folder.symlink_to(tmp_path / "thesis")
    for force in ([], ["--force"]):
        assert "report_files: is a symbolic link to" in refused(run, "-o", page, *force)
    assert list((tmp_path / "thesis").iterdir()) == [] and not page.exists()
    folder.unlink()
    folder.mkdir()
    (tmp_path / "thesis" / "mine.csv").write_text("mine")
    (folder / "results.csv").symlink_to(tmp_path / "thesis" / "mine.csv")
    assert "(results.csv)" in refused(run, "-o", page)
    write_report([run], page, force=True)
    assert (tmp_path / "thesis" / "mine.csv").read_text() == "mine"


def test_a_report_that_cannot_be_finished_leaves_no_file_that_no_page_names(tmp_path, undrawn, monkeypatch):
    run, page = make_run(tmp_path / "baseline", n=12), tmp_path / "report.html"
    really = writing.replacing

    def replacing(path):
        if path == page:
            raise KeyboardInterrupt
        return really(path)

    monkeypatch.setattr(writing, "replacing", replacing)
    with pytest.raises(KeyboardInterrupt):
        write_report([run], page)
    assert list((tmp_path / "report_files").iterdir()) == []


@pytest.mark.parametrize("error", [ImportError("No module"), RuntimeError("broken build")])
def test_matplotlib_is_asked_for_when_it_is_missing_or_broken(tmp_path, monkeypatch, error):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == "matplotlib":
                raise error

    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(MissingDependency, match="matplotlib is needed for figures"):
        write_report([make_run(tmp_path / "baseline", n=12)], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_importing_the_report_imports_neither_torch_nor_matplotlib():
    code = (
        "import sys, aqa_cli.report, aqa_heads.report.writing; sys.exit(bool({'torch', 'matplotlib', 'scipy'}"
        " & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_ends_in_an_example():
    shown = CliRunner().invoke(main, ["--help"]).output
    assert shown.rstrip().splitlines()[-3].strip() == "Example:"
    assert "aqa-report runs/ -o report.html" in shown.rstrip().splitlines()[-2]
