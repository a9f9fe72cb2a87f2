"""The models that can score: runs and packed models in a folder, and what is known of how good they are."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from aqa_cache.errors import AqaError
from aqa_heads.errors import RunError
from aqa_heads.evaluation.calibration import calibration_of
from aqa_heads.report.families import Family, read_families
from aqa_heads.report.floors import floor_name
from aqa_heads.runs.format import Run
from aqa_heads.scoring.packed import SUFFIX, read_record, unpacked
from aqa_heads.settings.experiments import DEFAULT

_DEEPEST, _MOST = 3, 500
_CARD = "MODEL_CARD.md"
_LARGEST_CARD = 2**20
LEVEL = 0.9
S3D = "s3d"  # in place of a model's id: features of the default backbone


@dataclass(frozen=True)
class Model:
    """One that scores.

    Args:
        id: in addresses; paths: of its runs, or of its archive.
        card: Markdown; empty where it has none.
        rho: Spearman's rho on its test samples, with interval; None where it is not known. tested: how many
            with a score.
        floors: what needs no video, by name, with its rho.
        within: half the width of the 90 % interval, in points; None: `interval_note` says why.
        default: whether it is of the default row.
        needs_difficulty: whether it is to be typed.
        notes: what a person should know before the first score.
        problem: why it cannot be used; empty where it can.
    """

    id: str
    label: str
    paths: tuple[Path, ...]
    card: str = ""
    rho: tuple[float, float | None, float | None] | None = None
    tested: int = 0
    floors: tuple[tuple[str, float], ...] = ()
    ceiling: float | None = None
    within: float | None = None
    interval_note: str = ""
    default: bool = False
    needs_difficulty: bool = False
    notes: tuple[str, ...] = ()
    problem: str = ""


class Models:
    """All models of some folders; what was read is kept as long as its files are the same.

    Args:
        places: folders of runs and of packed models, a run, or a packed model.
    """

    def __init__(self, places: Sequence[Path]):
        self._places = [place.absolute() for place in places]
        self._known: dict[tuple, list[Model]] = {}
        self._lock = threading.Lock()

    def all(self) -> list[Model]:
        """Those that can be used first, of them the default model; each with a label of its own."""
        with self._lock:
            runs, archives = self._found()
            kept: dict[tuple, list[Model]] = {}
            for paths in (*([tuple(runs)] if runs else []), *((path,) for path in archives)):
                key = tuple((path, *_state(path)) for path in paths)
                kept[key] = self._known.get(key) or _read(paths)
            self._known = kept
        models = [model for found in kept.values() for model in found]
        return _told_apart(sorted(models, key=lambda model: (bool(model.problem), not model.default)))

    def usable(self) -> list[Model]:
        """Those that can be used."""
        return [model for model in self.all() if not model.problem]

    def get(self, id: str) -> Model | None:
        return next((model for model in self.all() if model.id == id), None)

    def of(self, path: Path) -> Model | None:
        """The model of a packed file."""
        return next((model for model in self.all() if model.paths == (path.absolute(),)), None)

    def _found(self) -> tuple[list[Path], list[Path]]:
        runs, archives = [], []
        for place in self._places:
            for path in _below(place, 0):
                (archives if path.is_file() else runs).append(path)
        return list(dict.fromkeys(runs))[:_MOST], list(dict.fromkeys(archives))[:_MOST]


def _below(place: Path, depth: int) -> Iterator[Path]:
    """Run folders and packed models, sorted."""
    if place.is_file():
        if place.suffix.lower() == SUFFIX:
            yield place
        return
    if (place / "summary.json").is_file() and (place / "config.json").is_file():
        yield place
        return
    if depth < _DEEPEST and place.is_dir():
        try:
            inside = sorted(place.iterdir())
        except OSError:
            return
        for path in inside:
            if not path.name.startswith("."):
                yield from _below(path, depth + 1)


def _state(path: Path) -> tuple[int, int]:
    try:
        status = (path / "config.json" if path.is_dir() else path).stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _read(paths: Sequence[Path]) -> list[Model]:
    if paths[0].is_file():
        return [packed_model(paths[0])]
    try:
        return [_model(family) for family in read_families(paths)]
    except AqaError as error:
        if len(paths) == 1:
            return [Model(_id(paths), paths[0].name, tuple(paths), problem=str(error))]
    # One of them is damaged: the others are not.
    whole, models = [], []
    for path in paths:
        try:
            read_families([path])
            whole.append(path)
        except AqaError as error:
            models.append(Model(_id([path]), path.name, (path,), problem=str(error)))
    return [*([_model(family) for family in read_families(whole)] if whole else []), *models]


def packed_model(path: Path) -> Model:
    """The model of an archive, unpacked whole for it; what is wrong with it is its `problem`."""
    try:
        with ExitStack() as stack:
            record = read_record(path)
            folder = stack.enter_context(unpacked(path)).folder
            families = read_families([folder / name for name in record["runs"]])
            if len(families) != 1:
                raise RunError(f"{path}: holds runs of different rows; pack it again")
            model = _model(families[0])
    except AqaError as error:
        return Model(_id([path]), path.name, (path,), problem=str(error))
    notes = (
        *model.notes,
        *(
            ["packed without its training samples: no neighbours, and not said whether a clip is unlike them"]
            if record.get("without_neighbours")
            else []
        ),
    )
    return replace(model, id=_id([path]), label=path.name, paths=(path,), notes=notes)


def _model(family: Family) -> Model:
    first, config = family.first, family.config
    paths = tuple(result.path.absolute() for result in family.results)
    rho = family.number("spearman")
    low, high = _interval_of_rho(first.summary) if len(paths) == 1 else (None, None)
    floors = {
        floor_name(name): floor.spearman
        for name, floor in family.floors.items()
        if floor.spearman is not None
    }
    within, note = _within([result.run for result in family.results])
    notes = []
    if (config.get("features") or {}).get("weights_random") and not config.get("fine_tuning"):
        notes.append("its features come from random weights: scores show that the tool works, no more")
    if config.get("protocol") == "paper":
        notes.append("nothing was held out to choose by: its results look better than they are")
    if "score" not in (config.get("tasks") or ("score",)):
        notes.append("it gives no score")
    ceiling = (first.summary.get("ceiling") or {}).get("spearman")
    return Model(
        _id(paths),
        f"{family.label} ({first.path.absolute().parent.name if len(paths) > 1 else first.path.name})",
        paths,
        _card(paths[0]),
        None if rho is None else (rho, low, high),
        len(family.truth) or first.summary.get("n_test") or 0,
        tuple(floors.items()),
        ceiling,
        within,
        note,
        family.experiment == DEFAULT.name,
        config.get("difficulty") == "multiply",
        tuple(notes),
    )


def _interval_of_rho(summary: dict) -> tuple[float | None, float | None]:
    found = summary.get("interval") or ()
    return (found[0], found[1]) if len(found) == 2 else (None, None)


def _within(runs: Sequence[Run]) -> tuple[float | None, str]:
    """Half the width of an interval that no end of the scale cuts off."""
    calibration = replace(calibration_of(runs), scale=None)  # whose ends would make it look narrower
    found, note = calibration.interval([0.0] * len(runs), level=LEVEL)
    return (None if found is None else (found[1] - found[0]) / 2), note


def _card(path: Path) -> str:
    try:
        with open(path / _CARD, encoding="utf-8") as file:
            return file.read(_LARGEST_CARD)
    except (OSError, UnicodeDecodeError):
        return ""


def _id(paths: Sequence[Path]) -> str:
    return hashlib.sha256("\n".join(map(str, paths)).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _told_apart(models: list[Model]) -> list[Model]:
    """With the folder behind the label where two are the same."""
    labels = [model.label for model in models]
    return [
        replace(model, label=f"{model.label}, {model.paths[0].parent.name}")
        if labels.count(model.label) > 1
        else model
        for model in models
    ]
