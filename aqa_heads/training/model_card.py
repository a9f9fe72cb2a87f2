"""`MODEL_CARD.md`: what a run is and is good for, for people who did not train it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from aqa_cache.cache_file.meaning import named_random
from aqa_cache.disk.atomic import replacing

from ..settings.experiments import REGRESSION

FILE = "MODEL_CARD.md"
_TORCHVISION = (
    "published with torchvision (BSD-3-Clause), which says that weights may have terms of their own, from the"
    " data that they were trained on (Kinetics-400)"
)
# By the names of published weights.
LICENCES = {
    **dict.fromkeys(
        ("s3d-kinetics400", "r2plus1d_18-kinetics400", "mvit_v2_s-kinetics400", "swin3d_t-kinetics400"),
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


def write_model_card(folder: Path, config: Mapping, summary: Mapping) -> None:
    """Write the card of a run.

    Args:
        config, summary: as they are in its folder.
    """
    with replacing(folder / FILE) as temporary:
        temporary.write_text(model_card(config, summary), encoding="utf-8")


def model_card(config: Mapping, summary: Mapping) -> str:
    """The card, in Markdown."""
    sections = [
        f"# {config['name']}",
        f"{config['label']}, trained by aqa-cache {config['versions']['aqa-cache']}. It gives"
        f" {', '.join(_GIVES[task] for task in config['tasks'])} of an action in a video: `aqa-score`.",
        "## Data",
        *_data(config, summary),
        "## How it was trained and tested",
        *_training(config),
        "## Results on the test samples",
        *_results(summary),
        "## Limits",
        _list(_limits(config, summary)),
        "## Licence of the weights",
        _licence(config),
    ]
    return "\n\n".join(sections) + "\n"


_GIVES = {"score": "the score", "classes": "the classes", "caption": "a caption"}


def _data(config: Mapping, summary: Mapping) -> list[str]:
    features, groups = config["features"], summary["audit"]["groups"]
    lines = [
        f"{features['samples']:,} samples in `{Path(features['path']).name}`, of which {summary['n_train']:,}"
        f" were trained on, {summary['n_val']:,} chose the epoch or the penalty, and {summary['n_test']:,}"
        " tested",
        f"groups: {groups['train']:,} of training, {groups['val']:,} of validation, {groups['test']:,} of"
        " test",
        f"features: {features['backbone']}, {features['dim']:,} values per clip, weights"
        f" `{features['weights']}`, fingerprint `{features['fingerprint'][:12]}`",
        f"annotations: SHA-256 `{config['annotations_sha256'][:12]}`",
    ]
    return [_list(lines)]


def _training(config: Mapping) -> list[str]:
    held = config["validation"]
    lines = [
        f"protocol {config['protocol']}, seed {config['seed']}"
        + (f", fold {config['fold']} tested" if config.get("fold") else ""),
        f"encoder {config['encoder']}, score head {config.get('score_head') or REGRESSION}, difficulty:"
        f" {config['difficulty']}",
        f"{held['samples']:,} samples validated"
        + (f", in {held['folds']} parts" if held.get("folds") else "")
        + (", whole groups at a time" if held["whole_groups"] else ""),
    ]
    if config.get("refit"):
        lines.append("what is saved was trained on them too, after they had chosen")
    if config.get("fine_tuning"):
        lines.append(f"the backbone was trained too, from `{config['fine_tuning']['started_from']}`")
    return [_list(lines), "`config.json` has every setting."]


def _results(summary: Mapping) -> list[str]:
    rows = []
    for name, title in _METRICS.items():
        if _defined(value := summary.get(name)):
            low, high = (
                summary["interval"] if name == "spearman" and summary.get("interval") else (None, None)
            )
            known = _defined(low) and _defined(high)
            rows.append((title, f"{value:.3f}", f"{low:.3f} to {high:.3f}" if known else ""))
    for name, value in summary["class_accuracy"].items():
        if _defined(value):
            majority = summary["majority_accuracy"][name]
            rows.append((f"accuracy of {name}", f"{value:.3f}", f"most frequent class: {majority:.3f}"))
    for name, floor in (summary.get("floors") or {}).items():
        if _defined((floor or {}).get("spearman")):
            rows.append(
                (f"without any video: {name.replace('_', ' ')}", f"{floor['spearman']:.3f}", "its rho")
            )
    if not rows:
        return ["Nothing was tested, or no result is defined."]
    table = ["| | value | 95 % interval, or beside it |", "|---|---|---|"]
    return ["\n".join([*table, *(f"| {' | '.join(row)} |" for row in rows)])]


def _limits(config: Mapping, summary: Mapping) -> list[str]:
    features = config["features"]
    lines = [
        "it knows actions, cameras and judges like those of its training samples; elsewhere its numbers mean"
        " little",
        f"its results are those on {summary['n_test']:,} test samples, taken as independent",
        "it gives no reason that a judge would give: what clips add, and which samples are alike, is of the"
        " model",
    ]
    if features.get("weights_random"):
        lines.append("its features come from random weights: it shows that the tool works, no more")
    if config["leaked"]:
        lines.append(f"LEAKED: {config['leaked']} test samples are, in part, training samples too")
    if features.get("frame_rate"):
        lines.append(
            f"its videos have {features['frame_rate']:.4g} frames a second; a clip of others lasts otherwise"
        )
    return [*lines, *(str(note) for note in (*config["notes"], *summary["notes"]))]


def _licence(config: Mapping) -> str:
    name = config["features"]["weights"]
    if config.get("fine_tuning"):
        name = config["fine_tuning"]["origin"]
    elif tuned := config["features"].get("tuned"):
        name = tuned["origin"]
    said = (
        "random: made here, nobody's"
        if named_random(name)
        else LICENCES.get(name, "not known to this program")
    )
    return (
        f"Backbone, `{name}`: {said}. Heads: yours, and as far as the licence of the videos and annotations"
        " that they were trained on goes."
    )


def _defined(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
