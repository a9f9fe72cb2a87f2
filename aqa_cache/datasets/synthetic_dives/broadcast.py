"""Whole broadcasts: many dives one after the other in one video, and the annotations table beside them."""

import json
import math
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...annotations import FILE_NAME, Sample, write_annotations
from ...clips.rule import CLIP_LEN, MTL_AQA_WINDOW
from ...disk.locks import FileLock
from ...errors import AqaError, missing, some
from ...machine.cores import available_cores
from .dive import Dive, draw_faults, draw_labels, draw_looks
from .diver import APPROACH_S, SPLASH_S, Motion
from .faults import FAULTS_FILE, shown_faults, write_faults
from .judging import commentate, draw_panel, final_score, give_marks
from .picture import Scene

# Raise it with every change to what is drawn or said, so that an older render is not taken for a new one.
RENDERER_VERSION = 2

# MTL-AQA (Parmar & Morris 2019) takes six clips from the first of the 103 frames before end_frame, so that
# the last 7 are not used, and moves end_frame by up to 3 frames in training.
UNUSED_FRAMES = MTL_AQA_WINDOW % CLIP_LEN
JITTER_FRAMES = 3

_PARAMETERS_FILE, _UNFINISHED_FILE = "render.json", "render.unfinished.json"
_CITIES = (
    "Harbour",
    "Northern",
    "Lakeside",
    "Capital",
    "Riverside",
    "Island",
    "Coastal",
    "Highland",
    "Southern",
    "Garden",
    "Old Town",
    "Bridge",
)
_CUPS = ("Cup", "Open", "Grand Prix", "Invitational", "Trophy")
_YEARS = range(2012, 2024)


@dataclass(frozen=True)
class PlannedDive:
    """A dive and its place in its broadcast.

    Args:
        sample: the row of the annotations.
        dive: what the picture depends on; the marks are only in `sample`.
        take_off_frame: number of the frame in which the diver leaves the platform.
    """

    sample: Sample
    dive: Dive
    take_off_frame: int


@dataclass(frozen=True)
class Broadcast:
    """One event, one video.

    Args:
        number: from 1; also the video's name and the first half of the sample ids.
        name: of the event.
        dives: in the order of time.
        frames: how many the video has.
    """

    number: int
    name: str
    dives: tuple[PlannedDive, ...]
    frames: int

    @property
    def video(self) -> str:
        return f"{self.number:02d}.mp4"


def render_broadcasts(
    folder: str | Path,
    *,
    train_dives: int = 48,
    test_dives: int = 24,
    events: int = 6,
    seed: int = 0,
    size: tuple[int, int] = (640, 360),
    frame_rate: int = 25,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Render synthetic diving competitions: one H.264 video per event, `annotations.csv`, and `faults.csv`.

    Final scores are difficulty times the sum of the middle three of seven marks, as in MTL-AQA, and reach the
    picture only through the faults that the judges saw. The same arguments give the same annotations and
    frames, whatever `workers`. A render that was interrupted is taken up where it stopped; a finished one is
    left as it is, and given `faults.csv` where it has none: see `ShownFault`.

    Args:
        folder: of the videos; made if need be. It must be empty or hold a render with the same arguments.
        train_dives, test_dives: how many. Whole events are test events, about as large a share as of the
            dives.
        events: how many videos.
        seed: of everything drawn by chance.
        size: (width, height) in pixels, both even. The dive is within the middle 7/8 of the height and the
            middle 418/640 of a 16:9 picture's width, which is what MTL-AQA's resizing and cropping leaves.
        frame_rate: in frames per second, 20 to 30: the flight and the splash must fit into 103 frames.
        workers: processes; default one per core, at most one per event. With more than one, a script that
            calls this must be guarded by `if __name__ == "__main__"`.
        progress: called as `progress(dives_done, dives_total)`.

    Returns:
        The path of the annotations table.

    Raises:
        AqaError: the folder holds something else, or an argument is out of range.
        MissingDependency: PyAV is not installed.
    """
    folder = Path(folder)
    parameters = {
        "renderer_version": RENDERER_VERSION,
        "train_dives": train_dives,
        "test_dives": test_dives,
        "events": events,
        "seed": seed,
        "size": list(size),
        "frame_rate": frame_rate,
    }
    check_arguments(train_dives, test_dives, events, seed, size, frame_rate, workers)
    _import_av()
    broadcasts = plan_broadcasts(
        train_dives=train_dives, test_dives=test_dives, events=events, seed=seed, frame_rate=frame_rate
    )
    with _alone_in(folder):
        if not _claim_folder(folder, parameters, [broadcast.video for broadcast in broadcasts]):
            left = [broadcast for broadcast in broadcasts if not (folder / broadcast.video).exists()]
            total = train_dives + test_dives
            _encode_all(folder, left, tuple(size), frame_rate, seed, workers, progress, total)
            table = folder / f".{FILE_NAME}.partial"
            dives = [planned.sample for broadcast in broadcasts for planned in broadcast.dives]
            write_annotations(table, dives)
            os.replace(table, folder / FILE_NAME)
            os.replace(folder / _UNFINISHED_FILE, folder / _PARAMETERS_FILE)
        if not (folder / FAULTS_FILE).exists():
            dives = [planned for broadcast in broadcasts for planned in broadcast.dives]
            write_faults(folder, [fault for planned in dives for fault in shown_faults(planned, frame_rate)])
    return folder / FILE_NAME


def plan_broadcasts(
    *, train_dives: int, test_dives: int, events: int, seed: int, frame_rate: int
) -> list[Broadcast]:
    """Draw every dive, its marks and its place in time, without drawing a picture. Arguments as
    `render_broadcasts`.
    """
    total = train_dives + test_dives
    test_events = round(events * test_dives / total)
    if train_dives and test_dives:
        test_events = min(max(test_events, 1), events - 1)
    counts = _spread(train_dives, events - test_events) + _spread(test_dives, test_events)
    names_rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    names = [f"{city} {cup} {year}" for city in _CITIES for cup in _CUPS for year in _YEARS]
    names = [names[i] for i in names_rng.permutation(len(names))]
    return [
        _plan_broadcast(
            event + 1,
            names[event],
            "train" if event < events - test_events else "test",
            count,
            seed,
            frame_rate,
        )
        for event, count in enumerate(counts)
    ]


def _spread(dives: int, events: int) -> list[int]:
    return [dives // events + (event < dives % events) for event in range(events)]


def _plan_broadcast(number: int, name: str, split: str, count: int, seed: int, frame_rate: int) -> Broadcast:
    panel = draw_panel(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, 2))))
    planned, end_frame = [], 0
    for position in range(1, count + 1):
        # One stream of chance for each thing, so that what one of them draws cannot move another.
        label_rng, fault_rng, look_rng, time_rng, judge_rng, word_rng = (
            np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, 3, position, stream)))
            for stream in range(6)
        )
        dive = Dive(draw_labels(label_rng), draw_faults(fault_rng), draw_looks(look_rng))
        flight = math.ceil(Motion(dive).contact_s * frame_rate)
        splash = math.ceil(SPLASH_S * frame_rate)
        end_frame += max(round(5.2 * frame_rate), MTL_AQA_WINDOW + 2 * JITTER_FRAMES + 2) + int(
            time_rng.integers(-2, 5)
        )
        contact_frame = end_frame - UNUSED_FRAMES - splash - int(time_rng.integers(1, 6))
        take_off_frame = contact_frame - flight
        assert end_frame - MTL_AQA_WINDOW < take_off_frame
        start_frame = take_off_frame - int(
            time_rng.integers(round(0.8 * frame_rate), round(1.52 * frame_rate))
        )
        marks = give_marks(dive.faults, panel, judge_rng)
        sample = Sample(
            sample_id=f"{number:02d}_{position:04d}",
            video=f"{number:02d}.mp4",
            start_frame=start_frame,
            end_frame=end_frame,
            split=split,
            group=name,
            final_score=final_score(marks, dive.labels.difficulty),
            difficulty=dive.labels.difficulty,
            judges=marks,
            classes=dive.labels.classes,
            caption=commentate(dive.labels, dive.faults, word_rng),
        )
        planned.append(PlannedDive(sample, dive, take_off_frame))
    return Broadcast(number, name, tuple(planned), end_frame + round(0.4 * frame_rate))


def draw_frames(broadcast: Broadcast, scene: Scene) -> Iterator[np.ndarray]:
    """Every frame of a broadcast. Shape: each `(height, width, 3)` uint8 RGB, not to be written to."""
    dives = iter(broadcast.dives)
    planned, motion = None, None
    following = next(dives, None)
    for frame in range(broadcast.frames):
        if following and frame >= following.take_off_frame - APPROACH_S * scene.frame_rate:
            planned, motion = following, Motion(following.dive)
            following = next(dives, None)
        yield scene.draw(motion, frame, planned.take_off_frame) if planned else scene.background(frame)


def check_arguments(train_dives, test_dives, events, seed, size, frame_rate, workers) -> None:
    """Raise AqaError unless they are those of a render (`render_broadcasts`)."""

    def whole(value, least: int) -> bool:
        return isinstance(value, int) and value >= least

    for name, value in (("train_dives", train_dives), ("test_dives", test_dives), ("seed", seed)):
        if not whole(value, 0):
            raise AqaError(f"{name} is {value!r}, expected a whole number from 0 up")
    least = (train_dives > 0) + (test_dives > 0)
    if not least:
        raise AqaError("train_dives and test_dives are both 0; ask for at least one dive")
    if not whole(events, least):
        raise AqaError(f"events is {events!r}, expected at least {least}: a split consists of whole events")
    if events > 99 or events > train_dives + test_dives:
        raise AqaError(
            f"events is {events}, expected at most 99 and at most one per dive ({train_dives + test_dives}"
            " dives)"
        )
    if not (len(size) == 2 and all(whole(length, 64) and length % 2 == 0 for length in size)):
        raise AqaError(f"size is {size!r}, expected (width, height), both even and at least 64 pixels")
    if size[0] < 1.3 * size[1]:
        raise AqaError(
            f"size is {size!r}, expected a width of at least 1.3 times the height, or dives leave the picture"
        )
    if not whole(frame_rate, 20) or frame_rate > 30:
        raise AqaError(
            f"frame_rate is {frame_rate!r}, expected a whole number from 20 to 30 frames per second"
        )
    if workers is not None and not whole(workers, 1):
        raise AqaError(
            f"workers is {workers!r}, expected a whole number from 1 up, or nothing for one per core"
        )


def _alone_in(folder: Path) -> AbstractContextManager[None]:
    """Make the folder; in the block no other process renders into it."""

    def cannot(error: OSError) -> AqaError:
        return AqaError(f"{folder}: cannot be made or read as a folder: {error.strerror or error}")

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot(error) from None
    return FileLock(folder / ".rendering.lock").held("renders videos there", cannot)


def _claim_folder(folder: Path, parameters: dict, videos: list[str]) -> bool:
    """Make the folder ours, or refuse it. True if a whole render with these parameters lies there."""
    try:
        # Hidden files are our own unfinished ones, or a file manager's.
        found = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise AqaError(f"{folder}: cannot be made or read as a folder: {error.strerror or error}") from None
    records = [name for name in (_PARAMETERS_FILE, _UNFINISHED_FILE) if name in found]
    if not records:
        if found:
            raise AqaError(
                f"{folder}: is not empty ({some(found)}) and holds no earlier render; give a new or"
                " empty folder"
            )
    else:
        try:
            before = json.loads((folder / records[0]).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise AqaError(
                f"{folder / records[0]}: cannot be read: {error}; delete the folder or give a new one"
            ) from None
        if before != parameters:
            known = before if isinstance(before, dict) else {}
            differ = [
                f"{name} {known.get(name)!r}, now {now!r}"
                for name, now in parameters.items()
                if known.get(name) != now
            ]
            raise AqaError(
                f"{folder}: holds a render with other arguments ({'; '.join(differ)}); "
                "delete the folder or give a new one"
            )
        if records[0] == _PARAMETERS_FILE and all(name in found for name in (*videos, FILE_NAME)):
            return True
    part = folder / f".{_UNFINISHED_FILE}.partial"
    part.write_text(json.dumps(parameters, indent=2) + "\n", encoding="utf-8")
    os.replace(part, folder / _UNFINISHED_FILE)
    (folder / _PARAMETERS_FILE).unlink(missing_ok=True)
    return False


def _encode_all(folder, broadcasts, size, frame_rate, seed, workers, progress, total) -> None:
    report = progress or (lambda done, total: None)
    already = total - sum(len(broadcast.dives) for broadcast in broadcasts)
    workers = min(workers or available_cores(), max(len(broadcasts), 1))
    report(already, total)
    if workers == 1:
        done = already
        for broadcast in broadcasts:

            def one_more() -> None:
                nonlocal done
                done += 1
                report(done, total)

            _encode(folder, broadcast, size, frame_rate, seed, one_more)
        return
    context = multiprocessing.get_context("spawn")
    counter = context.Value("l", already)
    # Longest first, so that no worker is left with a long one at the end.
    longest_first = sorted(broadcasts, key=lambda broadcast: -broadcast.frames)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_share, initargs=(counter,)) as pool:
        pending = {
            pool.submit(_encode, folder, broadcast, size, frame_rate, seed) for broadcast in longest_first
        }
        try:
            reported = already
            while pending:
                finished, pending = wait(pending, timeout=0.2, return_when="FIRST_COMPLETED")
                for future in finished:
                    future.result()
                if counter.value > reported:
                    reported = counter.value
                    report(reported, total)
        except BrokenProcessPool:
            raise AqaError(
                f"{folder}: a rendering process ended before its video was done; render with workers=1 to see"
                ' why (a script that renders with more must be guarded by if __name__ == "__main__")'
            ) from None
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _import_av():
    try:
        import av
    except ImportError as error:
        raise missing("av", "rendering the demo videos", error) from None
    return av


_counter = None


def _share(counter) -> None:
    global _counter
    _counter = counter


def _count_dive() -> None:
    with _counter.get_lock():
        _counter.value += 1


def _encode(
    folder: Path, broadcast: Broadcast, size, frame_rate: int, seed: int, one_more=_count_dive
) -> None:
    """Write one video, under its own name only when it is whole."""
    av = _import_av()
    part = folder / f".{broadcast.video[:-4]}.partial.mp4"
    scene = Scene(broadcast.name, size, frame_rate, seed)
    ends = {planned.sample.end_frame for planned in broadcast.dives}
    try:
        with av.open(str(part), "w") as container:
            # The same bytes every time: x264's output depends on the number of threads, and with its
            # macroblock tree it differed from run to run even with one (PyAV 18.1, AVX-512, width not a
            # multiple of 64).
            options = {"preset": "superfast", "crf": "22", "g": "50", "threads": "1", "mbtree": "0"}
            stream = container.add_stream("libx264", rate=frame_rate, options=options)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            for number, picture in enumerate(draw_frames(broadcast, scene)):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
                if number + 1 in ends:
                    one_more()
            container.mux(stream.encode(None))
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, folder / broadcast.video)
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise AqaError(
            f"{folder / broadcast.video}: cannot be written as H.264: {error}; "
            "make room or choose another folder, or install a PyAV that has libx264 (pip install av)"
        ) from error
    finally:
        part.unlink(missing_ok=True)
