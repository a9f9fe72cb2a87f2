"""Scores as files: `scores.csv` for spreadsheets, `scores.json` with everything."""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aqa_cache.annotations import CLASS_PREFIX
from aqa_cache.disk.atomic import replacing
from aqa_cache.disk.csv_file import write_rows
from aqa_cache.disk.locks import FileLock
from aqa_cache.disk.plain_json import with_none
from aqa_cache.errors import AqaError

from .flags import flag_names
from .results import Judge, Score, ScoreTable

FORMAT = 1
CSV_FILE, JSON_FILE = "scores.csv", "scores.json"
_FIRST = (
    "sample_id",
    "video",
    "first_frame",
    "end_frame",
    "points",
    "spread",
    "interval_low",
    "interval_high",
    "final_score",
)


def write_scores(table: ScoreTable, folder: str | Path, runs: Sequence[str] = ()) -> tuple[Path, Path]:
    """Write `scores.csv` and `scores.json` into a folder, which is made.

    Args:
        runs: by which they were scored.

    Raises:
        AqaError: the folder cannot be made or written, or a file of one of these names is none of scores.
    """
    folder = Path(folder)
    make_folder(folder)
    rows, record = _rows(table), _record(table, runs)
    for name, begins in ((CSV_FILE, ",".join(_FIRST)), (JSON_FILE, '{\n  "aqa_scores"')):
        _check_replaceable(folder / name, begins)
    with replacing(folder / CSV_FILE) as temporary:
        write_rows(temporary, [list(rows[0]) if rows else _FIRST, *(list(row.values()) for row in rows)])
    with replacing(folder / JSON_FILE) as temporary:
        text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))  # halves of surrogate pairs
    return folder / CSV_FILE, folder / JSON_FILE


def writing_alone(folder: Path) -> AbstractContextManager[None]:
    """A block in which no other command writes scores or pages into the folder, which is made.

    Raises:
        AqaError: it cannot be made or written.
    """
    make_folder(folder)
    return FileLock(folder / ".scores.lock", quiet=True).held(
        "writes its scores there",
        lambda error: AqaError(f"{folder}: cannot be written ({error.strerror}); choose another -o"),
    )


def make_folder(folder: Path) -> None:
    """Make what scores are written into, unless it is there.

    Raises:
        AqaError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AqaError(
            f"{folder}: cannot be made as a folder ({error.strerror}); choose another -o"
        ) from None


def _check_replaceable(path: Path, begins: str) -> None:
    if not path.exists():
        return
    try:
        if not path.is_file():  # a FIFO would be waited for
            raise OSError
        with open(path, encoding="utf-8") as file:
            ours = file.read(len(begins)) == begins
    except (OSError, UnicodeDecodeError):
        ours = False
    if not ours:
        raise AqaError(f"{path}: is there and holds no scores; choose another -o, or move it away")


def _rows(table: ScoreTable) -> list[dict[str, Any]]:
    columns = list(dict.fromkeys(column for score in table.scores for column in score.classes))
    rows = [_row(score, columns) for score in table.scores]
    if judges := max((judge.number for score in table.scores for judge in _judges(score)), default=0):
        rows = [row | _panel(score, judges) for row, score in zip(rows, table.scores, strict=True)]
    empty = dict.fromkeys(rows[0] if rows else _row(Score("", "", None, None), columns), "")
    return rows + [{**empty, "sample_id": name, "failed": reason} for name, reason in table.failures]


def _row(score: Score, columns: Sequence[str]) -> dict[str, Any]:
    first, end = score.frames or ("", "")
    low, high = score.interval or (None, None)
    row = dict(
        zip(
            _FIRST,
            (
                score.sample_id,
                score.video,
                first,
                end,
                score.points,
                score.spread,
                low,
                high,
                score.final_score,
            ),
            strict=True,
        )
    )
    for column in columns:
        name, probability = next(iter(score.classes.get(column, {"": None}).items()))
        row |= {f"{CLASS_PREFIX}{column}": name, f"probability_{column}": probability}
    row |= {
        "caption": score.caption,
        "neighbours": "; ".join(near.sample.sample_id for near in score.neighbours),
        "share_as_far": score.share_as_far,
    }
    reasons = [flag.reason for flag in score.flags]
    row |= {
        "flags": " ".join(flag_names(score)),
        "notes": "; ".join((*reasons, *score.notes, score.interval_note)),
        "failed": "",
    }
    return {name: "" if value is None else value for name, value in row.items()}


def _judges(score: Score) -> tuple[Judge, ...]:
    return score.panel.judges if score.panel else ()


def _panel(score: Score, judges: int) -> dict[str, Any]:
    """The marks, the score of the panel, and the judge furthest from the others."""
    panel, marks = score.panel, {judge.number: judge.mark for judge in _judges(score)}
    furthest = panel.furthest_judge if panel else None
    row = {f"judge_{number}": marks.get(number) for number in range(1, judges + 1)}
    row |= {
        "panel_points": panel and panel.points,
        "predicted_mark": panel and panel.predicted_mark,
        "furthest_judge": furthest and furthest.number,
        "furthest_judge_deviation": furthest and furthest.deviation,
        "points_without_furthest_judge": furthest and furthest.points_without,
    }
    return {name: "" if value is None else value for name, value in row.items()}


def _record(table: ScoreTable, runs: Sequence[str]) -> dict[str, Any]:
    return with_none(
        {
            "aqa_scores": FORMAT,
            "runs": list(runs),
            "notes": list(table.notes),
            "background": None if table.background is None else asdict(table.background),
            "comparison": None if table.comparison is None else asdict(table.comparison),
            "scores": [asdict(score) for score in table.scores],
            "failures": [{"sample_id": name, "reason": reason} for name, reason in table.failures],
        }
    )
