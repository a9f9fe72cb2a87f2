"""A run without what is known of single training samples."""

import logging
from dataclasses import replace
from pathlib import Path

from ..evaluation.calibration import calibration_of
from ..runs.format import Run, write_run
from ..training.choosing.out_of_fold import held_out_table
from ..training.model_card import write_model_card
from .trained import Trained

_log = logging.getLogger(__name__)

# Of config.json, what names or counts on people, or says where files lay.
_LEFT_OUT = (
    "notes",
    "git",
    "identity",
    "parts",
    "call",
    "files",
    "annotations_sha256",
    "vocabulary",
    "name",
    "choice",
)
# Of summary.json, all that holds no names.
_NUMBERS = (
    *("spearman", "kendall", "pearson", "relative_l2", "mae", "interval", "n_train", "n_val", "n_test"),
    *("class_accuracy", "majority_accuracy", "captions", "floors", "ceiling", "uncertainty", "epochs"),
    *(
        "intervals",
        "class_intervals",
        "seconds",
        "parameters",
        "chosen",
        "caption_loss_per_token",
        "unigram_loss",
    ),
)


class Numbers:
    """Numbers in place of names, the same for the same name in all runs of a model."""

    def __init__(self):
        self._known: dict[tuple[str, str], str] = {}

    def of(self, kind: str, name: str | None) -> str:
        """Of a sample or a group; '' where there is none."""
        if not name:
            return ""
        return self._known.setdefault((kind, name), f"{kind} {len(self._known) + 1} of a packed model")


def keeps_training_samples(trained: Trained) -> bool:
    """Whether its model holds training samples: weights that are as many as there were samples, as `core` has
    its exemplars.
    """
    import torch

    from ..networks.model import AqaModel

    with torch.device("meta"):
        fresh = AqaModel(trained.model.architecture).state_dict()
    return any(not weight.numel() for weight in fresh.values())


def write_without_people(trained: Trained, folder: Path, numbers: Numbers) -> None:
    """Write into an empty folder a run that scores the same, without ids, captions, marks and features of
    training samples: without neighbours, and without what tells that a sample is out of their range.

    Held-out samples, of which the intervals are made, have numbers in place of ids and groups.
    """
    run = trained.run
    assert run is not None
    config = {name: value for name, value in run.config.items() if name not in _LEFT_OUT}
    # What is packed together differs in nothing but seed and fold, which `identity` is there to tell.
    config |= {"name": "packed", "without_neighbours": True, "notes": [], "identity": {"packed": True}}
    config["features"] = {**config["features"], "path": "features of another machine"}
    config["features"].pop("tuned", None)
    config["validation"] = {**(config.get("validation") or {}), "groups": []}
    summary = {name: run.summary[name] for name in _NUMBERS if name in run.summary} | {"notes": []}
    summary["audit"] = None
    write_run(folder, config, run.epochs, _tables(run, numbers), summary, run.vocabulary, trained.model)
    audited = run.summary.get("audit") or {}
    groups = audited.get("groups") or dict.fromkeys(("train", "val", "test"), 0)
    write_model_card(
        folder,
        {**config, "annotations_sha256": "left out"},
        {**summary, "audit": {"groups": groups}},
        calibration_of(run),
    )
    if trained.tuned_itself:
        _write_backbone(trained.path, folder)
    _log.info(
        f"{trained.name}: packed without its training samples. Missing are neighbours, flags of samples that"
        " are out of their range, unlike them, of hardly known classes or learned from, and exemplars (a core"
        " head cannot be packed so)."
    )


def _tables(run: Run, numbers: Numbers) -> dict[str, dict[str, list]]:
    """Predictions of test samples and scores of held-out ones, of which intervals are made."""
    tested = [row for row in run.predictions if row["split"] == "test"]
    predictions = {
        "sample_id": [numbers.of("sample", row["sample_id"]) for row in tested],
        "split": ["test"] * len(tested),
        "group": [numbers.of("group", row.get("group")) for row in tested],
        "final_score": [row["final_score"] for row in tested],
        "predicted_score": [row["predicted_score"] for row in tested],
    }
    if any("spread" in row for row in tested):
        predictions["spread"] = [row.get("spread") for row in tested]
    tables: dict[str, dict[str, list]] = {"predictions.csv": predictions}
    if run.out_of_fold:
        of_table = {row["sample_id"]: row.get("group") for row in run.predictions}
        rows = [
            replace(
                row,
                sample_id=numbers.of("sample", row.sample_id),
                group=numbers.of("group", row.group or of_table.get(row.sample_id)),
            )
            for row in run.out_of_fold
        ]
        tables["out_of_fold.csv"] = held_out_table(rows)
    return tables


def _write_backbone(source: Path, folder: Path) -> None:
    """The backbone that the run trained, without the ids of what it learned from."""
    from aqa_cache.backbones.registry import get_backbone
    from aqa_cache.disk.tensor_file import read_tensors
    from aqa_cache.weights.tuned import FILE, read_tuned_backbone, write_tuned_backbone

    record = read_tuned_backbone(source)
    assert record is not None
    module = get_backbone(record.backbone).build()
    module.load_state_dict(read_tensors(source / FILE))
    write_tuned_backbone(folder, module, replace(record, trained_on=(), chosen_on=()))
