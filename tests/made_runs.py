"""Finished run folders as training writes them, with made-up numbers, and a report's page taken apart."""

import csv
import json
from dataclasses import asdict, fields
from html.parser import HTMLParser

import numpy as np
from scipy.stats import spearmanr

from aqa_heads.evaluation.metrics import kendall, pearson, per_group
from aqa_heads.report.families import ROWS
from aqa_heads.report.html.drawing import Drawing
from aqa_heads.report.writing import write_report
from aqa_heads.runs.tables import Epoch

CLASSES = ("position", "armstand", "rotation")
WORDS = (
    "a and half somersaults forward tuck pike entry lovely the score difficulty of dive oh that one just over"
    " splash nice beautiful comes out 3.4 very"
).split()
FLOORS = {
    "training_mean": {"spearman": None, "relative_l2": 3.31, "mae": 14.0, "n": 40},
    "difficulty": {"spearman": 0.5603, "relative_l2": 2.71, "mae": 12.0, "n": 40},
    "group_mean": {"spearman": 0.6371, "relative_l2": 2.2, "mae": 11.0, "n": 40},
    "difficulty_group_mean": {"spearman": 0.6682, "relative_l2": 2.1, "mae": 10.5, "n": 40},
    "class_mean": {"spearman": 0.4105, "relative_l2": 3.0, "mae": 13.0, "n": 40, "n_unseen": 3},
}
CEILING = {
    "spearman": 0.961,
    "lowest": 0.952,
    "highest": 0.973,
    "judges": 7,
    "n": 40,
    "times_difficulty": True,
}
CAPTIONS = {
    "bleu_1": 0.21,
    "bleu_2": 0.11,
    "bleu_3": 0.05,
    "bleu_4": 0.02,
    "rouge_l": 0.19,
    "cider": 0.07,
    "meteor": None,
    "notes": ["METEOR not computed: Java is not installed"],
}
AUDIT = {
    "samples": {"train": 90, "val": 20, "test": 40, "unused": 0},
    "leaks": [],
    "shared_groups": {
        "train, test": {"groups": ["01", "02"], "samples": 18},
        "train, val": {"groups": [], "samples": 0},
        "val, test": {"groups": [], "samples": 0},
    },
    "groups": {"train": 8, "val": 2, "test": 5},
    "neighbours": {"n": 3, "of": 40, "smallest": 12, "median": 80.0},
    "floors": FLOORS,
    "ceiling": CEILING,
    "score_rules": [
        {
            "judges": 7,
            "rule": "final_score = difficulty x the sum of the middle three of 7 marks",
            "n": 140,
            "holds": 139,
            "applies": True,
            "contradicting": ["s1"],
        }
    ],
    "spoken_scores": {"n": 140, "stated": 4, "by_chance": 0.5, "examples": ["s1", "s2"]},
    "missing": {
        "final_score": {"train": 0, "val": 0, "test": 0},
        "caption": {"train": 5, "val": 0, "test": 1},
    },
}
LEAK = {
    "sample_id": "t1",
    "split": "test",
    "other": "s1",
    "other_split": "train",
    "video": "v.mp4",
    "why": "same frames",
    "frames": 96,
}
FINE_TUNING = {
    "videos": "/data/videos",
    "weights": None,
    "backbone_lr": 1e-5,
    "freeze_until": "conv3a",
    "warm_start": "runs/baseline",
    "augment": "flip,jitter=3",
    "batch_norm": "frozen",
    "clip_chunk": 2,
    "precision": "fp16",
    "started_from": "sports1m",
    "started_sha256": "cd" * 32,
    "frozen_layers": ["conv1", "conv2"],
    "processes": 2,
    "parameters": 27_655_936,
    "trained_parameters": 27_429_000,
}
VOID = {"meta", "br", "img", "hr"}


def make_run(
    folder,
    experiment="baseline",
    *,
    n=40,
    epochs=6,
    rho=0.6,
    seed=0,
    fold=None,
    protocol="honest",
    classes=CLASSES,
    captions=True,
    caption="reference",
    words=8,
    sample="",
    first=0,
    family=True,
    config=(),
    summary=(),
):
    """A finished run folder.

    Args:
        first: number of the first test sample; those of folds are others.
        family: whether it is recorded what the run was asked for.
        config, summary: update the records.
    """
    folder.mkdir(parents=True)
    row = asdict(ROWS[experiment])
    closed_form = row["closed_form"]
    captions = captions and row["rnn"] is not None
    rng = np.random.default_rng([seed, *experiment.encode()])
    labels_rng = np.random.default_rng([7, first])
    true = np.clip(labels_rng.normal(66, 18, n), 0, 104).round(2)
    predicted = 66 + 12 * (rho * (true - 66) / 18 + np.sqrt(1 - rho**2) * rng.normal(size=n))
    found = float(spearmanr(true, predicted).statistic) if n else None
    labels = {name: labels_rng.integers(0, 4, n) * (labels_rng.random(n) < 0.6) for name in classes}
    guesses = {name: np.where(rng.random(n) < 0.7, labels[name], rng.integers(0, 4, n)) for name in classes}
    numbers = range(first, first + n)
    groups = [f"{i // 9 + 1:02d}" for i in numbers]
    columns = {
        "sample_id": ["trained", *(f"{sample}{i // 9 + 1:02d}_{i:04d}" for i in numbers)],
        "split": ["train"] + ["test"] * n,
        "group": ["01", *groups],
        "difficulty": [3.0] * (n + 1),
        "final_score": [50, *true],
        "predicted_score": [51, *predicted],
    }
    for name in classes:
        columns[f"class_{name}"] = [0, *labels[name]]
        columns[f"predicted_class_{name}"] = [0, *guesses[name]]
    spoken = [" ".join(rng.choice(WORDS, words)) if captions else "" for _ in range(n)]
    columns["caption"] = ["", *(f"{caption} {' '.join(labels_rng.choice(WORDS, words))}" for _ in range(n))]
    columns["predicted_caption"] = ["", *spoken]
    write_table(folder / "predictions.csv", columns)
    epochs = 0 if closed_form else epochs
    write_table(folder / "metrics.csv", _curves(epochs, found, rng, row["layers"] or 2, captions, protocol))
    best = epochs - 1 if epochs > 1 else epochs
    chosen = {"assessment": {"epoch": best, "metric": "validation Spearman", "value": 0.7}}
    loss = None if closed_form else 2.0 + 0.01 * seed
    asked = {
        "experiment": experiment,
        "protocol": protocol,
        "epochs": epochs,
        "fingerprint": row["backbone"] or "c3d",
    }
    record = {
        "experiment": experiment,
        "name": folder.name,
        "label": ROWS[experiment].title,
        "table1": {name: row[name] for name in ("backbone", "rnn", "layers", "attention", "encoder")},
        **{name: row[name] for name in ("rnn", "layers", "attention", "encoder")},
        "epochs": epochs,
        "tasks": ["score", "classes", "caption"] if captions else ["score", "classes"],
        "batch_size": 3,
        "lr": 1e-4,
        "seed": seed,
        "fold": fold,
        "device": "cpu",
        "score_scale": 17.0,
        "standardise": False,
        "protocol": protocol,
        "difficulty": "ignore",
        "leaked": 0,
        "threads": 2,
        "versions": {"python": "3.11.2", "torch": "2.15.0", "numpy": "2.4.6"},
        "features": {
            "path": f"/data/{row['backbone']}.h5",
            "backbone": row["backbone"] or "c3d",
            "dim": 8192,
            "weights": "sports1m",
            "weights_random": False,
            "fingerprint": (row["backbone"] or "c3d") * 20,
            "samples": 1412,
        },
        "notes": ["36 training samples are also in the test set", f"made for experiment {experiment}"],
        **(
            {
                "identity": (
                    asked | {"seed": seed, "fold": fold, "device": "cpu", "threads": 2, "torch": "2.15.0"}
                )
            }
            if family
            else {}
        ),
    }
    result = {
        "spearman": found,
        "kendall": kendall(predicted, true) if n else None,
        "pearson": pearson(predicted, true) if n else None,
        "relative_l2": 2.6123 if n else None,
        "mae": 9.1,
        "per_group": per_group(predicted, true, groups),
        "class_accuracy": {c: float((labels[c] == guesses[c]).mean()) if n else None for c in classes},
        "majority_accuracy": {c: float(np.bincount(labels[c]).max() / n) if n else None for c in classes},
        "captions": CAPTIONS if captions else None,
        "caption_loss_per_token": 3.9 if captions else None,
        "unigram_loss": 4.8 if captions else None,
        "chosen": chosen if protocol == "honest" and epochs else {},
        "train_loss": loss,
        "seconds": {"training": 40.0, "total": 41.52 + len(experiment)},
        "parameters": 58371234 + seed,
        "n_train": 143,
        "n_val": 20,
        "n_test": n,
        "peak_memory_bytes": 734003200,
        "notes": [],
        "best_test_spearman": (
            {"spearman": 0.75, "epoch": 2, "note": "chosen on the test set"} if protocol == "paper" else None
        ),
        "floors": FLOORS if n else dict.fromkeys(FLOORS),
        "ceiling": CEILING if n else None,
        "audit": AUDIT,
    }
    write_json(folder / "config.json", record | dict(config))
    write_json(folder / "summary.json", result | dict(summary))
    return folder


def make_end_to_end(folder, experiment="baseline", *, tuning=(), config=(), **options):
    """As `make_run`, of a run that trained the backbone too.

    Args:
        tuning: updates the record of how.
    """
    title = ROWS[experiment].title
    record = {"label": f"{title} (end to end)", "fine_tuning": FINE_TUNING | dict(tuning)}
    return make_run(folder, experiment, config=record | dict(config), **options)


def make_on_tuned(
    folder, experiment="baseline", *, tuned_in="exp2-end-to-end", origin="sports1m", config=(), **options
):
    """As `make_run`, of a run on features of a backbone that was fine-tuned before."""
    features = {
        "path": "/data/tuned.h5",
        "backbone": "s3d",
        "dim": 1024,
        "weights": tuned_in,
        "weights_random": origin.startswith("random"),
        "tuned": {"started_from": origin, "origin": origin, "trained_on": 90, "chosen_on": 20},
        "fingerprint": f"{tuned_in:x<64}",
        "samples": 1412,
    }
    record = {
        "label": f"{ROWS[experiment].title} (on S3D features tuned in {tuned_in})",
        "features": features,
    }
    return make_run(folder, experiment, config=record | dict(config), **options)


def _curves(epochs, found, rng, layers, captions, protocol):
    """The columns of metrics.csv."""
    epoch = np.arange(1, epochs + 1)
    loss = 7 * np.exp(-epoch / max(epochs / 5, 1)) + 1.1 + rng.normal(0, 0.05, epochs) + 0.6 * (layers - 2)
    noise = rng.normal(0, 0.03, epochs) * (epoch < epochs)
    curve = [""] * epochs if found is None else found * (1 - np.exp(-epoch / max(epochs / 8, 1))) + noise
    side = "val" if protocol == "honest" else "test"
    columns = dict.fromkeys((field.name for field in fields(Epoch)), [""] * epochs)
    columns |= {
        "epoch": epoch,
        "train_loss": loss,
        "train_score_loss": loss / 3,
        "train_class_loss": loss / 3,
        f"{side}_spearman": curve,
        f"{side}_relative_l2": [2.5] * epochs,
        "seconds": [0.4] * epochs,
    }
    if captions:
        columns |= {"train_caption_loss": loss * 30, "train_caption_loss_per_token": loss}
        columns |= {"val_caption_loss_per_token": loss + 0.5} if protocol == "honest" else {}
    return columns


def write_json(path, record):
    path.write_text(json.dumps(_defined(record)))


def _defined(value):
    if isinstance(value, dict):
        return {key: _defined(item) for key, item in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value


def write_table(path, columns):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def read_table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def rows_of_test(run):
    return [row for row in read_table(run / "predictions.csv") if row["split"] == "test"]


def change_tests(run, name, value):
    """Write `value(row number)` into a column of the test samples of a run."""
    rows = read_table(run / "predictions.csv")
    for number, row in enumerate(rows[1:]):
        row[name] = value(number)
    write_table(run / "predictions.csv", {column: [row[column] for row in rows] for column in rows[0]})
    return run


class Page(HTMLParser):
    """Its text, its exact numbers, and everything that could reach out of it; the tags must nest."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.source = path.read_text(encoding="utf-8")
        self.open, self.tags, self.values, self.attributes, self.words, self.ids = [], set(), [], [], [], []
        self.feed(self.source)
        self.close()
        assert not self.open
        self.text = " ".join(" ".join(self.words).split())

    def table(self, name):
        """The rows of one of its CSV files."""
        return read_table(self.path.with_name(f"{self.path.stem}_files") / f"{name}.csv")

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
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)


def report(folder, *runs, **options):
    return Page(write_report(runs, folder / "report.html", **options))


def leave_out_drawing(monkeypatch):
    """For laws of the text."""
    for name in ("drawing.render", "frames.Frame.render"):
        monkeypatch.setattr(f"aqa_heads.report.html.{name}", lambda *_: Drawing(b"", "<svg></svg>"))
    monkeypatch.setattr("aqa_heads.report.html.frames.Frame.__init__", lambda *_: None)
