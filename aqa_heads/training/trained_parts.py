"""The parts that the runs of one call have trained, so that none is trained twice."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from aqa_cache import __version__
from aqa_cache.cache_file.feature_spec import canonical_json

from ..networks.frugal_lstm import FrugalLstmEncoder
from ..runs.format import Run
from ..runs.weights_file import read_weights
from ..settings.experiments import SCORE_HEAD_OPTIONS
from .part import Part
from .plan import Plan
from .steps import Steps

_log = logging.getLogger(__name__)

# Of the settings, what belongs to one part alone; a column of Table 1 is None there where the row's is kept.
_CAPTIONER = ("rnn", "layers", "attention", "residual", "caption_lr", "beam", "meteor", "vocabulary")
_ENCODER = (
    *("encoder", "encoder_hidden", "encoder_layers", "max_clips"),
    *("pretrain_epochs", "ridge_start"),
)
_SCORE = ("score_head", *SCORE_HEAD_OPTIONS, "loss", "loss_weight")
_OF_OTHERS = {"assessment": _CAPTIONER, "captioner": (*_ENCODER, *_SCORE, "lr", "dropout"), "model": ()}
_OF_RECORD = ("device", "threads", "head", "direct", "score_scale", "score_centre", "classes")


class TrainedParts:
    """Parts by what they are, and the runs that have trained them.

    Args:
        plans: of all runs of the call.

    Attributes:
        call (str): a hash of all plans; equal again when the same call is resumed.
        runs (dict): by identity of a part, the run that has trained it.
    """

    def __init__(self, plans: Sequence[Plan]):
        runs = [
            [plan.name, str(plan.folder), plan.fingerprint, plan.features_sha256, plan.config.deciding()]
            for plan in plans
        ]
        self.call = hashlib.sha256(canonical_json(runs).encode()).hexdigest()
        self.runs: dict[str, Run] = {}

    def add(self, run: Run) -> None:
        """Remember what a run has trained; a run of another call is ignored, and so is one whose weights are
        damaged, which is said.
        """
        if run.config.get("call") != self.call:
            return
        path = run.folder / "model.safetensors"
        try:
            read_weights(path, {})
        except ValueError as error:
            _log.warning(f"{path}: {error}: no other run takes over a part of it; train that run again")
            return
        taken = run.summary.get("taken_over") or {}
        parts = run.config.get("parts")
        for name, identity in (parts if isinstance(parts, Mapping) else {}).items():
            if name not in taken:
                self.runs.setdefault(identity, run)


def part_identities(steps: Steps, plan: Plan, record: Mapping[str, Any]) -> dict[str, str]:
    """What each part is, by its name: trained from equal identities, parts have equal bits.

    Args:
        steps: of a run, as training starts.
        record: of the run, as `config.json` holds it.
    """
    return {
        part.name: _identity(part, steps.model.standardiser, plan, record)
        for part in steps.parts
        # An encoder that updates its own weights is too large to be hashed, and never the same in two rows.
        if not any(isinstance(module, FrugalLstmEncoder) for module in part.modules.modules())
    }


def _identity(part: Part, standardiser: nn.Module, plan: Plan, record: Mapping[str, Any]) -> str:
    choice, tasks = plan.division.choice, plan.division.tasks
    settings = plan.config.deciding() | plan.config.columns
    for name in ("experiment", "allow_leak", "tasks", *_OF_OTHERS[part.name]):
        settings.pop(name, None)  # some are there only where they were asked for
    described = {
        "part": part.name,
        "modules": repr(part.modules),
        "settings": settings,
        "tasks": tasks,  # who has a label of any of them is drawn in every epoch
        "versions": [__version__, str(torch.__version__)],
        "features": [plan.fingerprint, plan.features_sha256, plan.annotations_sha256],
        "split": [choice.train, choice.val, choice.test],
        "record": {name: record[name] for name in _OF_RECORD},
    }
    digest = hashlib.sha256(canonical_json(described).encode())
    for module in (standardiser, part.modules):
        for name, tensor in module.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy())
    return digest.hexdigest()
