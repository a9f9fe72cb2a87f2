"""The job that learns from the annotations: features of all clips, and the default model trained on them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aqa_cache.annotations import Sample
from aqa_cache.errors import AqaError
from aqa_cache.logs import handled

from .folder import Folder

if TYPE_CHECKING:
    from aqa_cache.extraction.configuration import ExtractionConfig

_FOLDS = 5
_REASONS = 5  # told
_FEWEST = 4  # labelled samples that training must have left to choose an epoch by


def learn(folder: Folder, asked: dict, say: Callable[[str], None], progress: Callable) -> str:
    """Make features of a kind, and train on them what goes to `runs/NAME`.

    Interrupted, it goes on where it was.

    Args:
        asked: `name` of the new model, `model` (paths) whose kind of features is made; none: those of
            aqa-extract without an option.

    Returns:
        Which clips with a score could not be used, and why; '' where all were.

    Raises:
        AqaError: there is too little to train on, or nothing can be written.
    """
    from aqa_cache.annotations import read_written
    from aqa_cache.extraction.run import extract

    samples = read_written(folder.videos / "annotations.csv")
    scored = [sample for sample in samples if sample.final_score is not None]
    if len(scored) < 2:
        raise AqaError(
            f"{len(scored)} of {len(samples)} clips have a score; type the scores of at least two, better of"
            " fifty"
        )
    with _features(folder, asked["model"]) as (features, config):
        made = extract(folder.videos, features, replace(config, prune=True), progress=progress)
    reasons = dict(made.failures)
    lost = [sample.sample_id for sample in scored if sample.sample_id in reasons]
    usable = [sample for sample in scored if sample.sample_id not in reasons]
    left_out = ""
    if lost:
        why = "; ".join(reasons[sample_id] for sample_id in lost[:_REASONS])
        more = f"; and {len(lost) - _REASONS} more" if len(lost) > _REASONS else ""
        left_out = f"{len(lost)} of {len(scored)} clips with a score could not be used: {why}{more}"
    if len(usable) < 2:
        raise AqaError(f"{left_out}; too few are left to train on")
    say("training")
    _train(folder, asked["name"], features, usable, say)
    return left_out


@contextmanager
def _features(folder: Folder, model: list[str]) -> Iterator[tuple[Path, "ExtractionConfig"]]:
    """Where features of a kind lie, and how they are made, as long as the weights of a packed model are
    unpacked.
    """
    from aqa_cache.clips.rule import FROM_END, ClipRule
    from aqa_cache.extraction.configuration import ExtractionConfig
    from aqa_heads.scoring.scorer import Scorer

    if not model:
        config = ExtractionConfig(clip_rule=ClipRule(last_clip=FROM_END))
        yield folder.root / f"features-{config.backbone}.h5", config
        return
    with Scorer(model[0] if len(model) == 1 else model) as scorer:
        place = folder.root / f"features-{scorer.made_with.spec.fingerprint[:12]}.h5"
        yield place, scorer.extraction_config()


def _train(
    folder: Folder, name: str, features: Path, scored: Sequence[Sample], say: Callable[[str], None]
) -> None:
    from aqa_heads.table import Table, table_configs

    settings = {"out": folder.runs / name, "meteor": False, "resume": True, "tasks": _tasks(scored)}
    count = len(scored)
    if count - -(-count // _FOLDS) < _FEWEST:
        # Too few to hold any out; what comes of it is said to be no more than a try.
        settings["protocol"] = "paper"
        say(f"{count} scores are too few to choose anything by: what is trained shows that it works, no more")
    with Table(table_configs(features, "default", **settings)) as table:
        for note in table.notes:
            say(note)
        table.train(_shown(say))


def _tasks(scored: Sequence[Sample]) -> tuple[str, ...]:
    """What every scored clip has. Of a label that some lack the models of some folds would know nothing, and
    these models are averaged.
    """
    columns = [set(sample.classes) for sample in scored]
    classes = columns[0] and all(found == columns[0] for found in columns)
    captions = all(sample.caption for sample in scored)
    return ("score", *(("classes",) if classes else ()), *(("caption",) if captions else ()))


def _shown(say: Callable[..., None]) -> Callable:
    @contextmanager
    def shown(planned) -> Iterator:
        from aqa_heads.training.listener import Listener

        share = (planned.number - 1) / planned.count
        say(f"training {planned.title}", share)
        epochs = planned.plan.config.epochs or 1
        with handled(lambda record: say(record.getMessage(), share)):
            yield Listener(
                on_epoch=lambda epoch: say(
                    f"training {planned.title}, epoch {epoch.epoch}",
                    (planned.number - 1 + min(1.0, epoch.epoch / epochs)) / planned.count,
                )
            )

    return shown
