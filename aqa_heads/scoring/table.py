"""What is called to score: one video, or many samples at once."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aqa_cache.annotations import Sample
from aqa_cache.errors import AqaError

from .intervals import GROUP, LEVEL
from .results import Score, ScoreTable
from .scorer import Scorer
from .stretches import WORTH, Step, best_fitting, length_of, step_of, stretches_of

if TYPE_CHECKING:
    from aqa_cache.extraction.pipeline import Progress
    from aqa_cache.extraction.source import Source

_log = logging.getLogger(__name__)


def score(
    run: str | Path | Sequence[str | Path],
    video: str | Path,
    start: int | str | None = None,
    end: int | str | None = None,
    difficulty: float | None = None,
    *,
    features: str | Path | None = None,
    weights: str | None = None,
    device: str = "auto",
    level: float = LEVEL,
    calibrate_by: str = GROUP,
) -> Score:
    """Score one video, or a part of it.

    Args:
        run: a run folder; a folder of run folders that differ only in seed or fold, which are averaged; or a
            model file.
        video: a video file, or a folder of images.
        start, end: of the action: numbers of frames, 0-based, `end` not included, as in annotations; or
            moments such as `12.4s`.
        difficulty: where the run needs it.
        features: the cache that the run was trained on; only for runs of before they said how it was made.
        weights: name or path of the backbone's, where they are not found.
        level: the probability with which the interval is to hold the true score.
        calibrate_by: a class column, so that a sample of a class that has enough held-out samples is
            calibrated by these alone; by default groups are.

    Raises:
        AqaError: the run cannot score it, or the video cannot be read.

    Example::

        from aqa_heads import score

        found = score("runs/exp7", "dive.mp4")
        print(found.points, found.interval, [near.sample.sample_id for near in found.neighbours])
    """
    table = score_table(
        run,
        [video],
        start,
        end,
        difficulty,
        features=features,
        weights=weights,
        device=device,
        level=level,
        calibrate_by=calibrate_by,
    )
    if len(table.scores) + len(table.failures) != 1:
        raise AqaError(f"{video}: holds several samples, expected one video; call score_table")
    if table.failures:
        raise AqaError(table.failures[0][1])
    (found,) = table.scores
    return replace(found, notes=(*table.notes, *found.notes))


def score_table(
    run: str | Path | Sequence[str | Path],
    videos: Sequence[str | Path] = (),
    start: int | str | None = None,
    end: int | str | None = None,
    difficulty: float | None = None,
    *,
    features: str | Path | None = None,
    weights: str | None = None,
    device: str = "auto",
    level: float = LEVEL,
    calibrate_by: str = GROUP,
    every: str | None = None,
    compare: bool = False,
    progress: "Callable[[Progress], None] | None" = None,
) -> ScoreTable:
    """Score videos, or cached samples, the best first.

    Args:
        videos: video files, folders of videos (an `annotations.csv` in one is found by itself), or
            annotations tables (`.csv`), whose videos lie beside them. Without any, the samples of
            `features` are scored.
        start, end, difficulty: of one video only; of several a table has them.
        run, features, weights, device, level, calibrate_by: as `score` takes them.
        every: of one video the stretches that begin so far apart, in seconds (`2s`) or frames, are scored,
            and those most like the training samples are given; all are as long as these.
        compare: there are two samples, and their difference is said too.
        progress: told how far the extraction is.

    Raises:
        AqaError: nothing can be scored. A sample that fails alone is listed in the result.
    """
    step = None if every is None else step_of(every)
    if step is not None and compare:
        raise AqaError("--every looks for actions in one video, --compare takes two; give one of them")
    of_one = {"--start": start, "--end": end, "--difficulty": difficulty, "--every": every}
    given = [name for name, value in of_one.items() if value is not None]
    if not videos and features is None:
        raise AqaError("nothing to score; name videos, a folder, a table, or a cache with --features")
    if not videos and given:
        raise AqaError(f"{', '.join(given)}: of cached samples the cache says that; leave it out")
    with Scorer(
        run, features=features, weights=weights, device=device, level=level, calibrate_by=calibrate_by
    ) as scorer:
        if not videos:
            assert scorer.cache is not None
            return _scored(scorer, scorer.cache.samples, scorer.cached, compare)
        scorer.made_with  # noqa: B018  a run that cannot score videos is said before they are looked for
        folder, samples = find_videos(videos)
        if difficulty is not None and not any(trained.reads_difficulty for trained in scorer.runs):
            _log.warning("--difficulty has no effect: the run's scores do not depend on it.")
        if given:
            if len(samples) != 1:
                raise AqaError(
                    f"{', '.join(given)}: is of one video, and there are {len(samples)} samples; give an"
                    " annotations table with start_frame, end_frame and difficulty"
                )
            samples = [scorer.part(folder, samples[0], start, end, difficulty)]
        if step is not None:
            return _best_stretches(scorer, folder, samples[0], step, progress)
        return _scored(scorer, samples, lambda: scorer.videos(folder, samples, progress), compare)


def _scored(
    scorer: Scorer, samples: Sequence[Sample], scored: Callable[[], ScoreTable], compare: bool
) -> ScoreTable:
    """What `scored` gives of the samples; compared, the first with the second."""
    if compare and len(samples) != 2:
        raise AqaError(
            f"--compare: there are {len(samples)} samples, expected two; name two videos, or a table of two"
        )
    table = scored()
    if not compare:
        return table
    if table.failures:
        raise AqaError(table.failures[0][1])
    first, second = sorted(table.scores, key=lambda one: one.sample_id != samples[0].sample_id)
    return replace(table, comparison=scorer.compared(first, second))


def _best_stretches(
    scorer: Scorer, folder: Path, whole: Sample, step: Step, progress: "Callable[[Progress], None] | None"
) -> ScoreTable:
    """The stretches of a video that are most like the training samples."""
    length = length_of(scorer.runs)
    stream = scorer.made_with.spec.stream
    stretches = stretches_of(folder / whole.video, whole, step, length, stream)
    table = scorer.videos(folder, stretches, progress)
    if all(score.share_as_far is None for score in table.scores):
        raise AqaError(
            "--every: the run keeps nothing of its training samples, so that it is not known what is like"
            " them; give --start and --end"
        )
    found = best_fitting(table.scores, length)
    notes = (f"{len(found)} of {len(stretches)} stretches of {length} frames: {WORTH}", *table.notes)
    return replace(table, scores=found, notes=notes, by_fit=True)


def find_videos(videos: Sequence[str | Path]) -> tuple[Path, list[Sample]]:
    """The samples of several names, and the folder that their videos are relative to.

    Raises:
        AqaError: nothing there, or a table cannot be used.
    """
    from aqa_cache.extraction.sources import find_samples

    sources: list[Source] = []
    for name in map(Path, videos):
        is_table = name.suffix.lower() == ".csv" and name.is_file()
        source = find_samples(name.parent, name) if is_table else find_samples(name)
        for note in source.notes:
            _log.warning(note)
        sources.append(source)
    if len(sources) == 1:
        return sources[0].folder, sources[0].samples
    samples = [
        replace(sample, video=str(source.folder.absolute() / sample.video))
        for source in sources
        for sample in source.samples
    ]
    count = Counter(sample.sample_id for sample in samples)
    repeated = [sample.sample_id for sample in samples if count[sample.sample_id] > 1]
    samples = [replace(s, sample_id=s.video) if count[s.sample_id] > 1 else s for s in samples]
    if repeated and len({sample.sample_id for sample in samples}) < len(samples):
        raise AqaError(f"{repeated[0]}: is named twice; name every video once")
    return Path("/"), samples
