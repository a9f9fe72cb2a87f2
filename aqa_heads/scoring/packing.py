"""Packing of a model that is to travel: runs, what their intervals are made of, and if asked the backbone."""

import json
import logging
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path

from aqa_cache import __version__
from aqa_cache.disk.atomic import check_target
from aqa_cache.disk.zip_file import write_zip
from aqa_cache.errors import AqaError

from ..errors import RunError
from .made_with import made_with, weights_told
from .packed import BACKBONE, FORMAT, RECORD, RUNS, SUFFIX, is_packed
from .trained import Trained, learned_by, read_trained
from .without_people import Numbers, keeps_training_samples, write_without_people

_log = logging.getLogger(__name__)


def pack(
    run: str | Path,
    path: str | Path,
    *,
    with_backbone: bool = False,
    without_neighbours: bool = False,
    weights: str | None = None,
) -> tuple[str, ...]:
    """Write a model as one file that `aqa-score` takes on another machine.

    Args:
        run: a run folder, or a folder of runs or a pattern that differ only in seed or fold.
        with_backbone: take along the weights that made the features, too; random ones and published ones are
            otherwise made or downloaded there.
        without_neighbours: leave out what is known of single training samples.
        weights: name or path of the backbone's, where they are not found.

    Returns:
        What the file contains of people, a line each.

    Raises:
        AqaError: no such run; a score head that keeps training samples, with `without_neighbours`; weights
            that are not at hand, or no safetensors file; or it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        raise AqaError(f"{path}: give the packed model a name that ends in {SUFFIX}")
    check_target(path, "model.zip")
    if is_packed(run):
        raise RunError(f"{run}: is packed already; copy it, or name the run folder that it was made of")
    runs = read_trained(run)
    if single := next((one for one in runs if one.run is None), None):
        raise RunError(f"{single.path}: is a model file alone, without its intervals; name the run folder")
    if without_neighbours and (keeping := next((r for r in runs if keeps_training_samples(r)), None)):
        raise RunError(
            f"{keeping.path}: its score head keeps training samples in the model itself (as `core` does its"
            " exemplars), so it cannot be packed without them; pack it with them, or train another head"
        )
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aqa-pack-")))
        files: dict[str, Path] = {}
        names, numbers = _names(runs), Numbers()
        for number, (name, trained) in enumerate(zip(names, runs, strict=True)):
            folder = trained.path
            if without_neighbours:
                folder = work / str(number)
                folder.mkdir()
                write_without_people(trained, folder, numbers)
            files |= {f"{RUNS}/{name}/{file}": folder / file for file in _files(trained, folder)}
        if with_backbone:
            files |= _backbone(runs[0], weights, without_neighbours)
        holds = _holds(runs, without_neighbours)
        record = {
            "aqa_model": FORMAT,
            "runs": names,
            "backbone": BACKBONE in files,
            "without_neighbours": without_neighbours,
            "holds": holds,
            "made_by": f"aqa-cache {__version__}",
        }
        (work / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        write_zip(path, {RECORD: work / RECORD, **files})
    return tuple(holds)


def _names(runs: list[Trained]) -> list[str]:
    """Names of the runs' folders in the archive: of plain characters, and all different."""
    plain = [re.sub(r"[^A-Za-z0-9_.+-]", "_", trained.name).strip(".+-")[:100] or "run" for trained in runs]
    return plain if len(set(map(str.lower, plain))) == len(plain) else [f"run{n}" for n in range(len(plain))]


def _files(trained: Trained, folder: Path) -> list[str]:
    """The files of a run: those that its `config.json` has a sum of, that itself, and the card."""
    kinds = (".csv", ".json", ".safetensors")
    listed = sorted(path.name for path in folder.iterdir() if path.suffix in kinds)
    known = set(trained.config.get("files") or listed)
    kept = [name for name in listed if name in known or name == "config.json"]
    return [*kept, *(["MODEL_CARD.md"] if (folder / "MODEL_CARD.md").is_file() else [])]


def _backbone(trained: Trained, given: str | None, without_neighbours: bool) -> dict[str, Path]:
    from aqa_cache.extraction.again import weights_again

    if trained.tuned_itself:
        _log.info("The run trained its backbone and holds it: it is packed in any case.")
        return {}
    made = made_with(trained)
    found = weights_again(made.spec, *weights_told(trained, made, given))
    if found.path.suffix != ".safetensors":
        raise AqaError(
            f"{found.path}: is a file of torch.save, and nothing in a packed model is unpickled; leave"
            " --with-backbone out, take the file along and name it there with --weights"
        )
    if without_neighbours and found.tuned is not None:
        raise AqaError(
            f"{found.path}: this backbone was fine-tuned by a run, and its file names the samples that it"
            " learned from; leave out --with-backbone or --without-neighbours"
        )
    return {BACKBONE: found.path}


def _holds(runs: list[Trained], without_neighbours: bool) -> list[str]:
    """What the archive contains of people."""
    lines = []
    if without_neighbours:
        lines.append(
            "true and predicted scores of held-out samples, under numbers in place of their names, of which"
            " the intervals are made"
        )
    else:
        samples = learned_by(runs)
        marked, said = (sum(bool(getattr(s, of)) for s in samples.values()) for of in ("judges", "caption"))
        if samples:
            lines.append(
                f"{len(samples):,} training samples: id, video's name, frames, score, and what the encoder"
                f" gives for each; judges' marks of {marked:,}, captions of {said:,}"
            )
        rows = {row["sample_id"] for one in runs for row in one.run.predictions}
        lines.append(f"predictions of {len(rows):,} samples, with ids, groups and captions where known")
        if held_out := {row.sample_id for one in runs for row in one.run.out_of_fold}:
            lines.append(f"true and predicted scores of {len(held_out):,} held-out samples, by id")
    if any(one.vocabulary is not None for one in runs):
        lines.append("the words that occur in training captions, without their order")
    if any(one.model.class_names for one in runs):
        lines.append("the names of classes")
    return lines
