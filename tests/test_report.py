"""Laws of the report: what it shows is what the run folders say, and it stands alone."""

import csv
import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from html.parser import HTMLParser

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import spearmanr

from aqa_cache.errors import MissingDependency
from aqa_cli.report import main
from aqa_heads.bootstrap import MIN_SAMPLES, spearman_interval
from aqa_heads.experiments import EXPERIMENTS
from aqa_heads.figures import COLOURS, Drawing, _apart
from aqa_heads.page import element
from aqa_heads.report import write_report

CLASSES = ("position", "armstand", "rotation")
WORDS = ("a and half somersaults forward tuck pike entry lovely the score difficulty of dive oh that one just over "
         "splash nice beautiful comes out 3.4 very").split()  # fmt: skip
FLOORS = {
    "training_mean": {"spearman": None, "relative_l2": 3.31, "mae": 14.0, "n": 40},
    "difficulty": {"spearman": 0.5603, "relative_l2": 2.71, "mae": 12.0, "n": 40},
    "group_mean": {"spearman": 0.6371, "relative_l2": 2.2, "mae": 11.0, "n": 40},
}
VOID = {"meta", "br", "img", "hr"}


def make_run(folder, experiment="baseline", *, n=40, epochs=6, rho=0.6, seed=0, classes=CLASSES, captions=True,
             caption="reference", words=8, sample="", config=(), summary=()):  # fmt: skip
    """A finished run folder as training writes it, with made-up numbers; config and summary update the records."""
    folder.mkdir(parents=True)
    row = asdict(EXPERIMENTS[experiment])
    row.pop("name")
    rng, of_set = np.random.default_rng([seed, *experiment.encode()]), np.random.default_rng(7)
    true = np.clip(of_set.normal(66, 18, n), 0, 104).round(2)
    predicted = 66 + 12 * (rho * (true - 66) / 18 + np.sqrt(1 - rho**2) * rng.normal(size=n))
    found = float(spearmanr(true, predicted).statistic) if n else None
    labels = {name: of_set.integers(0, 4, n) * (of_set.random(n) < 0.6) for name in classes}
    guesses = {name: np.where(rng.random(n) < 0.7, labels[name], rng.integers(0, 4, n)) for name in classes}
    columns = {
        "sample_id": ["leaked", *(f"{sample}{i // 9 + 1:02d}_{i:04d}" for i in range(n))],
        "split": ["train"] + ["test"] * n,
        "group": ["01"] + [f"{i // 9 + 1:02d}" for i in range(n)],
        "final_score": [50, *true],
        "predicted_score": [51, *predicted],
    }
    for name in classes:
        columns[f"class_{name}"] = [0, *labels[name]]
        columns[f"predicted_class_{name}"] = [0, *guesses[name]]
    spoken = [" ".join(rng.choice(WORDS, words)) if captions else "" for _ in range(n)]
    columns["caption"] = ["", *(f"{caption} {' '.join(of_set.choice(WORDS, words))}" for _ in range(n))]
    columns["predicted_caption"] = ["", *spoken]
    write_table(folder / "predictions.csv", columns)
    epoch = np.arange(1, epochs + 1)
    loss = 7 * np.exp(-epoch / (epochs / 5)) + 1.1 + rng.normal(0, 0.05, epochs) + 0.6 * (row["layers"] - 2)
    noise = rng.normal(0, 0.03, epochs) * (epoch < epochs)
    curve = [""] * epochs if found is None else found * (1 - np.exp(-epoch / (epochs / 8))) + noise
    write_table(folder / "metrics.csv", {
        "epoch": epoch, "train_loss": loss, "train_score_loss": loss / 3, "train_class_loss": loss / 3,
        "train_caption_loss": loss * 30 if captions else [""] * epochs,
        "train_caption_loss_per_token": loss if captions else [""] * epochs,
        "test_spearman": curve, "test_relative_l2": [2.5] * epochs, "seconds": [0.4] * epochs,
    })  # fmt: skip
    record = {
        "experiment": experiment, "name": folder.name, "label": EXPERIMENTS[experiment].title, "table1": dict(row),
        **{name: row[name] for name in ("rnn", "layers", "attention", "encoder")}, "epochs": epochs,
        "tasks": ["score", "classes", "caption"], "batch_size": 3, "lr": 1e-4, "seed": seed, "device": "cpu",
        "score_scale": 17.0, "standardise": False, "protocol": "paper", "threads": 2,
        "versions": {"python": "3.11.2", "torch": "2.15.0", "numpy": "2.4.6"},
        "features": {"path": f"/data/{row['backbone']}.h5", "backbone": row["backbone"], "dim": 8192,
                     "weights": "sports1m", "weights_random": False, "fingerprint": row["backbone"] * 20,
                     "samples": 1412},
        "notes": ["36 training samples are also in the test set", f"made for experiment {experiment}"],
    }  # fmt: skip
    result = {
        "spearman": found, "relative_l2": 2.6123 if n else None, "mae": 9.1,
        "class_accuracy": {c: float((labels[c] == guesses[c]).mean()) if n else None for c in classes},
        "majority_accuracy": {c: float(np.bincount(labels[c]).max() / n) if n else None for c in classes},
        "train_loss": float(loss[-1]), "seconds": 41.52 + len(experiment), "parameters": 58371234 + seed, "n_train": 143,
        "n_test": n, "best_test_spearman": None, "peak_memory_bytes": 734003200, "notes": [],
        "floors": FLOORS if n else dict.fromkeys(FLOORS),
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(record | dict(config)))
    (folder / "summary.json").write_text(json.dumps(result | dict(summary)))
    return folder


def write_table(path, columns):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def rows_of_test(run):
    with (run / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["split"] == "test"]


class Page(HTMLParser):
    """Its text, its exact numbers, and everything that could reach out of it; the tags must nest."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open, self.tags, self.values, self.attributes, self.words, self.ids = [], set(), [], [], [], []
        self.feed(self.source)
        self.close()
        assert not self.open
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        attributes = dict(attributes)
        if tag == "data":
            self.values.append(float(attributes["value"]))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A folder of three runs on the same test samples, and their page."""
    folder = tmp_path_factory.mktemp("three")
    for name, experiment, rho in (("exp4", "4", 0.7), ("baseline", "baseline", 0.5), ("exp2", "2", 0.3)):
        make_run(folder / "runs" / name, experiment, rho=rho, words=50)
    return folder / "runs", write_report(
        [folder / "runs"], folder / "report.html", preface=["A line.", "And < another."]
    )


@pytest.fixture
def undrawn(monkeypatch):
    """Leaves out the drawing, for laws of the text."""
    monkeypatch.setattr("aqa_heads.figures._render", lambda *_: Drawing(b"", "<svg></svg>"))


def report(folder, *runs, **options):
    return Page(write_report(runs, folder / "report.html", **options))


# What it shows.


def test_every_run_appears_in_the_order_of_table_1_with_the_numbers_of_its_summary(three):
    runs, path = three
    page = Page(path)
    places = [page.source.index(f"</span>{short}") for short in ("Baseline", "Exp 2", "Exp 4")]
    assert places == sorted(places)
    for run in runs.iterdir():
        summary = json.loads((run / "summary.json").read_text())
        for name in ("spearman", "relative_l2", "train_loss", "seconds", "parameters"):
            assert summary[name] in page.values
        assert set(summary["class_accuracy"].values()) | set(summary["majority_accuracy"].values()) <= set(page.values)
        mean = np.mean(list(summary["class_accuracy"].values()))
        assert np.isclose(page.values, mean, rtol=1e-12).any()
        assert f"{summary['spearman']:.3f}" in page.text
    for needed in ("40 test samples", "seed 0", "nothing chosen on the test set", "A line.", "And < another."):
        assert needed in page.text


def test_floors_are_rows_and_dashed_lines_with_a_sentence(three):
    page = Page(three[1])
    assert {0.5603, 0.6371, 3.31, 2.71, 2.2} <= set(page.values)
    for needed in ("Training mean", "Difficulty alone", "Group mean 0.64", "Floors are predictions without the video"):
        assert needed in page.text


def test_intervals_stand_beside_the_correlations(three):
    runs, path = three
    rows = rows_of_test(runs / "exp4")
    low, high = spearman_interval(
        *(np.array([float(row[name]) for row in rows]) for name in ("final_score", "predicted_score"))
    )
    assert f"{low:.3f} to {high:.3f}" in Page(path).text


def test_provenance_and_notes_stand_on_the_page(three):
    text = Page(three[1]).text
    for needed in ("c3dc3dc3dc3d", "/data/c3d.h5", "sports1m", "torch 2.15.0", "36 training samples are also in the test",
                   "made for experiment 4", "batch size", "700 MiB"):  # fmt: skip
        assert needed in text


def test_captions_of_up_to_three_runs_are_shown_beside_the_reference_and_cut(three):
    runs, path = three
    page = Page(path)
    lowest = min(rows_of_test(runs / "exp2"), key=lambda row: float(row["final_score"]))
    assert lowest["sample_id"] in page.text
    for caption in (lowest["caption"], lowest["predicted_caption"]):
        assert " ".join(caption.split()[:40]) + " … (5" in page.text
        assert caption not in page.text
    assert "Exp 2 40 of 40" in page.text


# What it is.


def test_page_needs_nothing_from_elsewhere(three):
    page = Page(three[1])
    assert "http://" not in page.source and "https://" not in page.source
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "srcset", "href", "xlink:href", "action", "poster"):
            assert value.startswith(("#", "data:image/png;base64,"))
    assert all(inside.startswith("#") for inside in re.findall(r"url\(['\"]?(.)", page.source))
    assert "@import" not in page.source
    assert "default-src 'none'" in page.source


def test_references_inside_the_page_find_their_part(three):
    page = Page(three[1])
    assert len(page.ids) == len(set(page.ids))
    named = [value[1:] for _, name, value in page.attributes if name.endswith("href")]
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


def test_views_stand_among_the_features_and_settings_and_are_plain_in_earlier_runs(tmp_path, undrawn):
    features = {"backbone": "c3d", "path": "f.h5", "fingerprint": "ab" * 32}
    earlier = make_run(tmp_path / "baseline", config={"features": features})
    later = make_run(
        tmp_path / "exp1", "1", config={"features": features | {"views": ["plain", "flip"]}, "views": "all"}
    )
    text = " ".join(report(tmp_path, earlier, later).text.split())
    assert "Views plain Features of Exp 1" in text
    assert "Views plain; flip Training" in text and "views all" in text


def test_figures_lie_beside_the_page_as_png(three):
    _, path = three
    files = sorted(file.name for file in path.with_name("report_files").iterdir())
    expected = [f"{kind}_{run}.png" for kind in ("training_loss", "test_correlation", "scatter")
                for run in ("baseline", "exp_2", "exp_4")]  # fmt: skip
    assert files == sorted([*expected, "training_loss.png", "test_correlation.png", "correlation_intervals.png"])
    assert all(file.read_bytes().startswith(b"\x89PNG\r\n") for file in path.with_name("report_files").iterdir())


def test_same_runs_give_the_same_bytes(tmp_path):
    run = make_run(tmp_path / "baseline")
    made = [write_report([run], tmp_path / place / "report.html") for place in ("a", "b")]
    files = [
        [page.read_bytes(), *(f.read_bytes() for f in sorted(page.with_name("report_files").iterdir()))]
        for page in made
    ]
    assert files[0] == files[1]


def test_text_of_every_origin_is_escaped(tmp_path):
    bad = "<script>alert('1')</script> & $x_1$ </svg>"
    run = make_run(tmp_path / "exp<1>&$a$", caption=bad, sample="<b>",
                   config={"experiment": "own", "label": bad, "notes": [bad], "device": bad})  # fmt: skip
    page = report(tmp_path, run, title=bad, preface=[bad])
    assert "script" not in page.tags
    assert page.text.count(bad) >= 7  # title twice, preface, label, note, device, captions
    assert "exp<1>&$a$" in page.text and re.search(r"<b>0\d_00\d\d", page.text)


def test_element_escapes_text_and_attributes_but_not_elements():
    inner = element("b", "<&>", title='"')
    assert element("p", inner, "<") == '<p><b title="&quot;">&lt;&amp;&gt;</b>&lt;</p>'


# What it warns of.


def test_random_weights_are_said_on_top(tmp_path, undrawn):
    features = {"backbone": "s3d", "weights": "random-0", "weights_random": True, "fingerprint": "ab" * 32}
    page = report(tmp_path, make_run(tmp_path / "exp2", "2", config={"features": features}), preface=["Hello."])
    assert page.text.index("Features come from random weights") < page.text.index("Hello.")
    assert "not what the models can do" in page.text
    both = report(tmp_path, tmp_path / "exp2", make_run(tmp_path / "baseline"))
    assert "Features of Exp 2 come from random weights" in both.text


def test_rows_that_do_not_compare_are_said(tmp_path, three, undrawn):
    runs, path = three
    assert "the runs read different features. Baseline and Exp 4 on c3dc3dc3dc3d" in Page(path).text
    assert "tested on different samples" not in Page(path).text
    page = report(tmp_path, make_run(tmp_path / "baseline"), make_run(tmp_path / "exp1", "1", n=12))
    assert "tested on different samples. Baseline on 40 samples; Exp 1 on 12 samples" in page.text
    assert "different features" not in page.text
    assert "n 12, seed 0" in page.text


def test_files_of_different_runs_are_said(tmp_path, undrawn):
    page = report(tmp_path, make_run(tmp_path / "baseline", summary={"spearman": 0.1}))
    assert "the two files are not of one run" in page.text


def change_tests(run, name, value):
    """Write `value(row number)` into a column of the test samples of a run."""
    with (run / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows[1:]):
        row[name] = value(number)
    write_table(run / "predictions.csv", {column: [row[column] for row in rows] for column in rows[0]})
    return run


def test_files_of_different_runs_are_said_where_one_of_them_has_no_correlation(tmp_path, undrawn):
    page = report(tmp_path, make_run(tmp_path / "baseline", summary={"spearman": None}))
    assert "summary.json says an undefined ρ but predictions.csv gives ρ = " in page.text
    page = report(tmp_path, change_tests(make_run(tmp_path / "exp1", "1"), "predicted_score", lambda _: 5))
    assert "but predictions.csv gives an undefined ρ; the two files are not of one run" in page.text
    page = report(tmp_path, make_run(tmp_path / "exp2", "2", n=0))
    assert "not of one run" not in page.text


def test_groups_of_the_test_samples_are_said_beside_the_interval(tmp_path, undrawn):
    run = make_run(tmp_path / "baseline")
    page = report(tmp_path, run)
    assert "The samples are taken as independent; they come from 5 groups, so the true uncertainty is" in page.text
    for group in (lambda _: "", lambda number: f"g{number}"):
        assert "taken as independent" not in report(tmp_path, change_tests(run, "group", group)).text


def test_empty_captions_are_counted_and_shown(tmp_path, undrawn):
    run = change_tests(make_run(tmp_path / "baseline"), "predicted_caption", lambda number: "a dive" * (number < 30))
    assert "Baseline 2 of 40 (10 of them empty)" in report(tmp_path, run).text
    text = report(tmp_path, change_tests(run, "predicted_caption", lambda _: "")).text
    assert "Baseline 1 of 40 (40 of them empty)" in text and "(empty)" in text


def test_captions_are_shown_by_score_only_of_samples_that_have_one(tmp_path, undrawn):
    run = make_run(tmp_path / "baseline", n=6)
    change_tests(run, "caption", lambda number: f"reference{number}")
    text = report(tmp_path, change_tests(run, "final_score", lambda number: 60 + number if number else "")).text
    assert "lowest to the highest true score" in text and "reference1" in text and "reference0" not in text
    text = report(tmp_path, change_tests(run, "final_score", lambda _: "")).text
    assert "spread evenly by their names" in text and "reference0" in text


@pytest.mark.parametrize(
    ("device", "label"), [("cpu", "peak memory of the whole process so far"), ("cuda:1", "peak memory")]
)
def test_peak_memory_says_whose_it_is(tmp_path, undrawn, device, label):
    page = report(tmp_path, make_run(tmp_path / "baseline", config={"device": device}))
    assert f"{label} 700 MiB" in page.text


def test_runs_that_predict_the_same_scores_are_said(tmp_path, undrawn):
    run = make_run(tmp_path / "baseline")
    page = report(tmp_path, run, shutil.copytree(run, tmp_path / "again"), make_run(tmp_path / "exp7", "7", rho=0.1))
    assert "again and baseline predict the same scores" in page.text
    assert "The highest correlation is that of again and baseline:" in page.text


def test_row_that_is_not_quite_the_papers_is_starred_and_says_why(tmp_path, undrawn):
    config = {"label": "Exp 7 (rnn lstm, on S3D features)", "rnn": "lstm",
              "features": {"backbone": "s3d", "fingerprint": "0f" * 32}}  # fmt: skip
    page = report(tmp_path, make_run(tmp_path / "exp7-rnn-lstm-on-s3d", "7", config=config))
    for needed in (
        "Exp 7*",
        "rnn lstm, on S3D features",
        "Table\N{NO-BREAK SPACE}1: C3D",
        "Table\N{NO-BREAK SPACE}1: GRU",
    ):
        assert needed in page.source
    assert "Not quite this row of Table 1" in page.text


# Whatever the runs are.


def test_two_runs_of_one_row_are_told_apart_by_their_folders(tmp_path, undrawn):
    for parent in ("a", "b"):
        make_run(tmp_path / parent / "exp1", "1", n=12)
    make_run(tmp_path / "a" / "exp1-seed1", "1", n=12, seed=1)
    page = report(tmp_path, tmp_path / "a", tmp_path / "b", tmp_path / "a" / "exp1")
    assert "3 runs" in page.text and "seeds 0 and 1" in page.text
    for name in ("a/exp1", "b/exp1", "exp1-seed1"):
        assert f"</span>{name}" in page.source


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
    ],
    ids=["no-test-set", "score-only", "undefined-rho", "nan", "one-epoch", "empty-captions", "sparse-config"],
)  # fmt: skip
def test_a_single_run_of_any_kind_makes_a_page(tmp_path, options, shown):
    page = report(tmp_path, make_run(tmp_path / "baseline", **options))
    assert shown in page.text
    assert "1 run ·" in page.text and "Run by run" not in page.text
    assert "nan" not in page.text.lower().split() and "None" not in page.text.split()


def test_runs_with_and_without_test_scores_stand_together(tmp_path, undrawn):
    page = report(tmp_path, make_run(tmp_path / "baseline"), make_run(tmp_path / "exp1", "1", n=0))
    assert "Test correlation: none recorded." in page.text and "None: Exp 1." in page.text


def test_scores_far_off_lie_on_the_edge_and_are_counted(tmp_path):
    run = make_run(tmp_path / "baseline")
    text = (run / "predictions.csv").read_text().splitlines()
    cells = text[2].split(",")
    cells[4] = "1e9"
    (run / "predictions.csv").write_text("\n".join([*text[:2], ",".join(cells), *text[3:]]))
    assert "1 beyond the axes" in report(tmp_path, run).text


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
    (tmp_path / "runs" / ".exp1.0123.tmp").mkdir()
    (tmp_path / "runs" / ".exp1.0123.tmp" / "config.json").touch()
    assert "1 run ·" in report(tmp_path, tmp_path / "runs").text


@pytest.mark.parametrize(
    ("name", "content"),
    [("summary.json", "{"), ("config.json", "[1]"), ("predictions.csv", "sample_id,split\n1,test\n"),
     ("metrics.csv", "epoch,train_loss\nx,1\n"), ("predictions.csv", "a,b\n"), ("config.json", '{"features": "x"}'),
     ("config.json", '{"table1": "x"}'), ("summary.json", '{"floors": 3}'), ("summary.json", '{"notes": 3}')],
)  # fmt: skip
def test_damaged_run_is_named(tmp_path, name, content):
    run = make_run(tmp_path / "baseline")
    (run / name).write_text(content)
    said = refused(run, "-o", tmp_path / "report.html")
    assert str(run) in said and "train the run again" in said


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


def test_a_report_replaces_an_earlier_one_and_its_figures(tmp_path, undrawn):
    runs = [make_run(tmp_path / "baseline", n=12), make_run(tmp_path / "exp1", "1", n=12)]
    report(tmp_path, *runs)
    mine = tmp_path / "report_files" / "mine.png"
    mine.touch()
    report(tmp_path, runs[0])
    left = {file.name for file in (tmp_path / "report_files").iterdir()}
    assert left == {
        "mine.png",
        "training_loss.png",
        "test_correlation.png",
        "correlation_intervals.png",
        "scatter_baseline.png",
    }
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


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
    code = "import sys, aqa_cli.report, aqa_heads.report; sys.exit(bool({'torch', 'matplotlib', 'scipy'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_ends_in_an_example():
    shown = CliRunner().invoke(main, ["--help"]).output
    assert shown.rstrip().splitlines()[-2].strip() == "Example:"
    assert "aqa-report runs/ -o report.html" in shown.rstrip().splitlines()[-1]


# The interval.


@pytest.mark.parametrize("rho", [-0.9, 0.0, 0.3, 0.8])
@pytest.mark.parametrize("n", [20, 353])
def test_interval_contains_the_correlation_and_is_seeded(rho, n):
    rng = np.random.default_rng(n)
    true = rng.normal(size=n).round(1)
    predicted = rho * true + np.sqrt(1 - rho**2) * rng.normal(size=n)
    low, high = spearman_interval(true, predicted)
    assert low < spearmanr(true, predicted).statistic < high
    assert spearman_interval(true, predicted) == (low, high) != spearman_interval(true, predicted, seed=1)


def test_interval_equals_that_of_resampling_the_pairs_one_by_one():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 12, 30)
    predicted = true + rng.integers(-4, 4, 30)
    drawn = np.random.default_rng(3).integers(30, size=(200, 30))
    rho = [spearmanr(true[rows], predicted[rows]).statistic for rows in drawn]
    assert spearman_interval(true, predicted, seed=3, resamples=200) == pytest.approx(np.quantile(rho, [0.025, 0.975]))


def test_interval_is_narrower_with_more_samples_and_none_where_undefined():
    rng = np.random.default_rng(0)
    true = rng.normal(size=2000)
    predicted = true + rng.normal(size=2000)
    widths = [np.ptp(spearman_interval(true[:n], predicted[:n])) for n in (20, 200, 2000)]
    assert widths == sorted(widths, reverse=True)
    assert spearman_interval(true, np.zeros(2000)) is None
    assert spearman_interval(true[: MIN_SAMPLES - 1], predicted[: MIN_SAMPLES - 1]) is None
    rare = np.eye(40)[0]  # absent from (39/40)^40 = 36 % of the resamples
    assert spearman_interval(true[:40], rare) is None
    with pytest.raises(ValueError, match="expected two equal"):
        spearman_interval(true, predicted[:5])


def test_names_beside_lines_never_overlap_and_keep_their_order():
    rng = np.random.default_rng(0)
    for _ in range(200):
        wanted = sorted(rng.uniform(0, 100, rng.integers(1, 11)))
        placed = _apart(wanted, 10, 0, 100)
        assert len(placed) == len(wanted)
        assert placed[0] >= -1e-9 and placed[-1] <= 100 + 1e-9
        assert all(after - before >= 10 - 1e-9 for before, after in zip(placed, placed[1:], strict=False))
    assert _apart([10, 50, 90], 10, 0, 100) == [10, 50, 90]
