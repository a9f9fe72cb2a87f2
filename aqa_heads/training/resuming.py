"""Whether a run that exists, or was interrupted, is the one that is asked for."""

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from aqa_cache import __version__
from aqa_cache.errors import first_line

from ..captions.vocabulary import Vocabulary
from ..errors import RunError
from ..runs.checkpoint import DamagedCheckpoint
from ..runs.folder import Work, was_interrupted
from ..runs.format import Run, read_run
from ..runs.tables import Epoch
from .computing import is_out_of_memory
from .plan import Plan

_log = logging.getLogger(__name__)

# What a resumed run may have otherwise, at the price of its last bits.
_LAST_BITS = ("device", "threads", "torch", "aqa-cache", "processes", "clip_chunk")


def identity_of(plan: Plan, device: torch.device) -> dict[str, Any]:
    """What must agree for a run to be the same one; of `_LAST_BITS`, what only its last bits depend on."""
    vocabulary = plan.config.vocabulary
    words = None if vocabulary is None else Vocabulary.from_paper(vocabulary).words
    return {
        **json.loads(json.dumps(plan.config.deciding())),
        "fingerprint": plan.fingerprint,
        "annotations": plan.annotations_sha256,
        "features": plan.features_sha256,
        "words": words and hashlib.sha256("\n".join(words).encode()).hexdigest(),
        "aqa-cache": __version__,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),  # its own class of text is none that a checkpoint may hold
    }


def finished_run(folder: Path, identity: Mapping[str, Any]) -> Run | None:
    """The run of this identity in `folder`; None if there is none that is finished.

    Raises:
        RunError: another run is there.
    """
    if was_interrupted(folder) or not (folder / "summary.json").exists():
        return None
    run = read_run(folder)
    if different := _differences(run.config.get("identity") or {}, identity, but=_LAST_BITS):
        raise RunError(
            f"{folder}: this run exists, but is another one ({'; '.join(different)}); give --overwrite to"
            " replace it, or another --out to keep it"
        )
    return run


class Checkpoint:
    """What an interrupted run left, or nothing. As large as memory perhaps, so it is released after use.

    Attributes:
        content (dict | None): as `last_checkpoint` gives it; a DamagedCheckpoint where a name is lacking.
    """

    def __init__(self, content: dict[str, Any] | None):
        self.content = None if content is None else _Content(content)

    def release(self) -> None:
        self.content = None


class _Content(dict[str, Any]):
    def __missing__(self, name: str):
        raise DamagedCheckpoint(f"the checkpoint is damaged (it has no {name})")


@contextmanager
def damage_said() -> Iterator[None]:
    """In the block what a checkpoint holds is put where it belongs; where it does not fit, it is damaged.

    Raises:
        DamagedCheckpoint: one of before it had checksums was changed.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise DamagedCheckpoint(
            f"the checkpoint is damaged ({type(error).__name__}: {first_line(error)})"
        ) from None


def last_checkpoint(
    work: Work, folder: Path, identity: Mapping[str, Any], known: Collection[str], resume: bool
) -> dict[str, Any] | None:
    """What the interrupted run of this identity left; None if there is nothing to go on with, which is said
    where it was to be gone on with.

    Args:
        known: identities of the parts that can be taken over in this call (`trained_parts`). A run that had
            taken over another begins again, as one whose checkpoint is damaged.

    Raises:
        RunError: it is another run's, or cannot be read.
    """
    try:
        checkpoint = work.load()
        if checkpoint is None:
            if resume:
                _log.info("begins: of this run there is no checkpoint to go on with")
            return None
        with damage_said():
            _check(checkpoint)
    except DamagedCheckpoint as error:
        _log.warning(f"{error}: the run begins again")
        work.forget()
        return None
    theirs = checkpoint["identity"]
    if different := _differences(theirs, identity, but=_LAST_BITS):
        raise RunError(
            f"{folder}: what was interrupted is another run ({'; '.join(different)}); give the same options"
            " and the same cache, or --overwrite to begin again"
        )
    taken = checkpoint.get("taken") or {}
    if lacking := [name for name in taken if checkpoint["part_identities"][name] not in known]:
        sources = ", ".join(f"{name} from {taken[name]}" for name in lacking)
        _log.warning(f"begins again: it had taken over its {sources}, which this call has not trained")
        return None
    epochs, steps = len(checkpoint["epochs"]), checkpoint.get("done")
    if "folds" in checkpoint:
        _log.info("goes on with the models of the folds")
    elif "choice" in checkpoint:
        _log.info(f"goes on after epoch {epochs} of the training on all samples")
    else:
        _log.info(
            f"goes on in epoch {epochs + 1}, after {steps} steps"
            if steps
            else f"goes on after epoch {epochs}"
        )
    if different := _differences(theirs, identity):
        _log.warning(
            f"the run was begun otherwise ({'; '.join(different)}): it will not end with the bits of one"
            " that was never stopped"
        )
    return checkpoint


def _check(checkpoint: Mapping[str, Any]) -> None:
    """Raise what `damage_said` explains where what is read here is not there, or of another type."""
    taken = checkpoint.get("taken") or {}
    if not isinstance(checkpoint["identity"], Mapping):
        raise TypeError("its identity is no object")
    if not all(isinstance(checkpoint["part_identities"][name], str) for name in taken):
        raise TypeError("the identity of a part is no text")
    for row in checkpoint["epochs"]:
        Epoch(*row)
        if not all(cell is None or type(cell) in (int, float) for cell in row):
            raise TypeError("an epoch has what is no number")


def _differences(theirs: Mapping[str, Any], mine: Mapping[str, Any], but: tuple[str, ...] = ()) -> list[str]:
    lines = []
    for name, value in mine.items():
        other = theirs.get(name)
        if name in but or other == value:
            continue
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            lines += _differences(other, value)
        else:
            lines.append(f"{name} was {other}, is {value}")
    return lines
