"""What is called to score: one video, or many samples at once."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from aqa_cache.annotations import Sample
from aqa_cache.errors import AqaError

from .intervals import GROUP, LEVEL
from .results import Score, ScoreTable
from .scorer import Scorer


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
    say: Callable[[str], None] = lambda line: None,
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
        say=say,
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
    progress: Callable | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> ScoreTable:
    """Score videos, or cached samples, the best first.

    Args:
        videos: video files, folders of videos (an `annotations.csv` in one is found by itself), or
            annotations tables (`.csv`), whose videos lie beside them. None: the samples of `features` are
            scored.
        start, end, difficulty: of one video only; of several a table has them.
        run, features, weights, device, level, calibrate_by, say: as `score` takes them.
        progress: told how far the extraction is.

    Raises:
        AqaError: nothing can be scored. A sample that fails alone is listed in the result.
    """
    of_one = {"--start": start, "--end": end, "--difficulty": difficulty}
    given = [name for name, value in of_one.items() if value is not None]
    if not videos and features is None:
        raise AqaError("nothing to score; name videos, a folder, a table, or a cache with --features")
    if not videos and given:
        raise AqaError(f"{', '.join(given)}: of cached samples the cache says that; leave it out")
    made = {"features": features, "weights": weights, "device": device, "level": level}
    with Scorer(run, **made, calibrate_by=calibrate_by, say=say) as scorer:
        if not videos:
            return scorer.cached()
        scorer.made_with  # noqa: B018  a run that cannot score videos is said before they are looked for
        folder, samples = find_videos(videos, say)
        if difficulty is not None and not any(trained.reads_difficulty for trained in scorer.runs):
            say("--difficulty has no effect: the run's scores do not depend on it.")
        if given:
            if len(samples) != 1:
                raise AqaError(
                    f"{', '.join(given)}: is of one video, and there are {len(samples)} samples; give an"
                    " annotations table with start_frame, end_frame and difficulty"
                )
            whole = samples[0]
            part = scorer.part(folder, whole, start, end, difficulty)
            samples = [
                replace(
                    part,
                    start_frame=whole.start_frame if start is None else part.start_frame,
                    end_frame=whole.end_frame if end is None else part.end_frame,
                    difficulty=whole.difficulty if difficulty is None else difficulty,
                )
            ]
        return scorer.videos(folder, samples, progress)


def find_videos(videos: Sequence[str | Path], say: Callable[[str], None]) -> tuple[Path, list[Sample]]:
    """The samples of several names, and the folder that their videos are relative to.

    Raises:
        AqaError: nothing there, or a table cannot be used.
    """
    from aqa_cache.extraction.sources import find_samples

    sources = []
    for name in map(Path, videos):
        is_table = name.suffix.lower() == ".csv" and name.is_file()
        source = find_samples(name.parent, name) if is_table else find_samples(name)
        for note in source.notes:
            say(note)
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
