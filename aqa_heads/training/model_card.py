"""`MODEL_CARD.md`: what a run is and is good for, for people who did not train it."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from aqa_cache.cache_file.feature_spec import named_random
from aqa_cache.disk.atomic import replacing

from ..evaluation.calibration import Calibration
from ..settings.experiments import REGRESSION

FILE = "MODEL_CARD.md"
_TORCHVISION = (
    "published with torchvision (BSD-3-Clause), which says that weights may have terms of their own, from the"
    " data that they were trained on (Kinetics-400)"
)
_OF_TORCHVISION = (
    *("s3d", "r2plus1d_18", "r3d_18", "mc3_18", "mvit_v1_b", "mvit_v2_s"),
    *("swin3d_t", "swin3d_s", "swin3d_b"),
)
# Of the names of weights that were found by `hf:` or `timm:`.
_SAID_BY_CARD = re.compile(r"(?:hf|timm):[^()]*\((licence [^()]*)\)")
# By the names of published weights.
LICENCES = {
    **dict.fromkeys(
        (
            *(f"{name}-kinetics400" for name in _OF_TORCHVISION),
            "swin3d_b-kinetics400-imagenet22k",
        ),
        _TORCHVISION,
    ),
    "c3d-sports1m-mmaction2": "published with mmaction2 (Apache-2.0); trained on Sports-1M",
    "c3d-sports1m": "published without a licence; trained on Sports-1M",
}
_METRICS = {
    "spearman": "Spearman's rho",
    "kendall": "Kendall's tau",
    "pearson": "Pearson's r",
    "relative_l2": "relative L2 (x 100)",
    "mae": "mean absolute error, points",
}
_CAPTIONS = {"bleu_4": "captions, BLEU-4", "rouge_l": "captions, ROUGE-L", "cider": "captions, CIDEr"}
_GIVES = {"score": "the score", "classes": "the classes", "caption": "a caption"}


def write_model_card(
    folder: Path,
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    calibration: Calibration | None = None,
) -> None:
    """Write the card of a run.

    Args:
        config, summary: as they are in its folder.
        calibration: what it says of its errors.
    """
    with replacing(folder / FILE) as temporary:
        temporary.write_text(model_card(config, summary, calibration), encoding="utf-8")


def model_card(
    config: Mapping[str, Any], summary: Mapping[str, Any], calibration: Calibration | None = None
) -> str:
    """The card, in Markdown."""
    sections = [
        f"# {config['name']}",
        f"{config['label']}, trained by aqa-cache {config['versions']['aqa-cache']}. It gives"
        f" {_said([_GIVES[task] for task in config['tasks']])} of an action in a video: `aqa-score`.",
        "## Data",
        _list(_data(config, summary)),
        "## Split and protocol",
        _list(_training(config, summary)),
        "`config.json` has every setting.",
        "## Results on the test samples",
        *_results(summary),
        "## How sure a single score is",
        _how_sure(calibration),
        "## Limits",
        _list(_limits(config, summary)),
        "## Licence of the weights",
        _licence(config),
    ]
    return "\n\n".join(sections) + "\n"


def _data(config: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    features = config["features"]
    lines = [
        f"{features['samples']:,} samples in `{Path(features['path']).name}`; annotations: SHA-256"
        f" `{config['annotations_sha256'][:12]}`",
        f"features: {features['backbone']}, {features['dim']:,} values per clip, weights"
        f" `{features['weights']}`, fingerprint `{features['fingerprint'][:12]}`",
    ]
    rule = (features.get("spec") or {}).get("clip_rule") or {}
    if known := [f"{name} {value}" for name, value in rule.items() if value is not None]:
        lines.append(f"clips: {', '.join(known)}")
    if features.get("frame_rate"):
        lines.append(
            f"videos of {features['frame_rate']:.4g} frames a second; a clip of others lasts otherwise"
        )
    if (scored := summary["n_train"]) and config.get("score_scale"):
        middle = f"{config['score_centre']:.4g} points in the mean, " if "score_centre" in config else ""
        lines.append(f"{scored:,} scores to train on: {middle}{config['score_scale']:.4g} standard deviation")
    if config.get("score_range"):
        low, high = config["score_range"]
        lines.append(f"scale of the scores: {low:g} to {high:g} points")
    for name, classes in (config.get("classes") or {}).items():
        lines.append(f"classes of {name}: {', '.join(map(str, classes))}")
    return lines


def _training(config: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    held, groups = config["validation"], summary["audit"]["groups"]
    lines = [
        f"{summary['n_train']:,} samples trained, {summary['n_val']:,} chose the epoch or the penalty, and"
        f" {_tested(summary)} tested" + (f" (fold {config['fold']})" if config.get("fold") else ""),
        f"groups: {groups['train']:,} of training, {groups['val']:,} of validation alone, {groups['test']:,}"
        " of test",
        f"protocol {config['protocol']}, seed {config['seed']}; {held['samples']:,} samples validated"
        + (f", in {held['folds']} parts" if held.get("folds") else "")
        + (", whole groups at a time" if held["whole_groups"] else ", one by one"),
        f"encoder {config['encoder']}, score head {config.get('score_head') or REGRESSION}, difficulty:"
        f" {config['difficulty']}",
    ]
    if config.get("refit"):
        lines.append("what is saved was trained on the validating samples too, after they had chosen")
    if config.get("fine_tuning"):
        lines.append(f"the backbone was trained too, from `{config['fine_tuning']['started_from']}`")
    return [*lines, *(str(note) for note in config["notes"])]


def _results(summary: Mapping[str, Any]) -> list[str]:
    intervals = {"spearman": summary.get("interval"), **(summary.get("intervals") or {})}
    rows = [
        (title, f"{value:.3f}", _ends(intervals.get(name)), "")
        for name, title in _METRICS.items()
        if _defined(value := summary.get(name))
    ]
    for name, value in summary["class_accuracy"].items():
        if _defined(value):
            ends = _ends((summary.get("class_intervals") or {}).get(name))
            majority = summary["majority_accuracy"][name]
            rows.append((f"accuracy of {name}", f"{value:.3f}", ends, f"most frequent class: {majority:.3f}"))
    captions = summary.get("captions") or {}
    rows += [
        (title, f"{captions[name]:.3f}", "", "")
        for name, title in _CAPTIONS.items()
        if _defined(captions.get(name))
    ]
    for name, floor in (summary.get("floors") or {}).items():
        if _defined((floor or {}).get("spearman")):
            title = f"without any video: {name.replace('_', ' ')}"
            rows.append((title, f"{floor['spearman']:.3f}", "", "its rho"))
    if not rows:
        return ["Nothing was tested, or no result is defined."]
    if _defined((summary.get("ceiling") or {}).get("spearman")):
        rows.append(("one judge against the others", f"{summary['ceiling']['spearman']:.3f}", "", "its rho"))
    table = ["| result | value | 95 % interval | beside it |", "|---|---|---|---|"]
    return [
        "\n".join([*table, *(f"| {' | '.join(row)} |" for row in rows)]),
        f"Of {_tested(summary)} test samples, drawn again as if they were independent; accuracies: binomial.",
    ]


def _tested(summary: Mapping[str, Any]) -> str:
    """How many, and how many of them have a score, where that differs: only these count for its metrics."""
    count = summary["n_test"]
    scored = ((summary.get("floors") or {}).get("training_mean") or {}).get("n")
    return f"{count:,}" if scored in (None, count) else f"{count:,} (of which {scored:,} have a score)"


def _ends(interval: Sequence[float | None] | None) -> str:
    low, high = interval or (None, None)
    return f"{low:.3f} to {high:.3f}" if _defined(low) and _defined(high) else ""


def _how_sure(calibration: Calibration | None) -> str:
    if calibration is None:
        return "Not known."
    spread = None if calibration.spreads is None else float(np.median(calibration.spreads))
    ends, note = replace(calibration, scale=None).interval(0.0, spread)
    if ends is None:
        return f"{note[0].upper()}{note[1:]}."
    scaled = "" if spread is None else ", wider or narrower with the spread of the score head"
    return (
        f"The predicted score ± {ends[1]:.3g} points{scaled}: {note}. `aqa-score` gives the interval of each"
        " score, clipped to the scale where it is known."
    )


def _limits(config: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    lines = [
        "it knows actions, cameras and judges like those of its training samples; elsewhere its numbers mean"
        " little",
        f"its results are those on {_tested(summary)} test samples of this data set",
        "it gives no reason that a judge would give: what clips add, and which samples are alike, is of the"
        " model",
    ]
    if config["features"].get("weights_random"):
        lines.append("its features come from random weights: it shows that the tool works, no more")
    if config["leaked"]:
        lines.append(f"LEAKED: {config['leaked']} test samples are, in part, training samples too")
    return [*lines, *(str(note) for note in summary["notes"])]


def _licence(config: Mapping[str, Any]) -> str:
    name = config["features"]["weights"]
    if config.get("fine_tuning"):
        name = config["fine_tuning"]["origin"]
    elif tuned := config["features"].get("tuned"):
        name = tuned["origin"]
    if by_card := _SAID_BY_CARD.fullmatch(name):
        said = f"{by_card[1]} (of the model's own card)"
    elif named_random(name):
        said = "random: made here, nobody's"
    else:
        said = LICENCES.get(name, "not known to this program")
    return (
        f"Backbone, `{name}`: {said}. Heads: yours, and as far as the licence of the videos and annotations"
        " that they were trained on goes."
    )


def _defined(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _said(names: Sequence[str]) -> str:
    """
    >>> _said(["the score", "the classes", "a caption"]), _said(["the score"])
    ('the score, the classes and a caption', 'the score')
    """
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
