import threading

import numpy as np
import pytest
from hanging_video import hanging
from numbered_video import image_number, write_numbered_video

from aqa_cache.annotations import Sample
from aqa_cache.clips.assembler import Clip
from aqa_cache.clips.preprocess import FramePreparer, Preprocessing
from aqa_cache.clips.rule import ClipRule
from aqa_cache.video import reader as video_reader
from aqa_cache.video.reader import Outcome, VideoReader
from aqa_cache.video.threads import Decoders, _Worker

WHOLE = Preprocessing(resize=(64, 64), crop=64, mean=(0, 0, 0), std=(1, 1, 1))
VIDEOS, FRAMES = 4, 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for number in range(VIDEOS):
        write_numbered_video(folder / f"{number}.mp4", FRAMES)
    return folder


def readers(folder):
    """One for each video, which holds two samples: number and number + 10."""
    return [
        VideoReader(
            folder / f"{number}.mp4",
            {number: Sample("all", ""), number + 10: Sample("middle", "", 20, 52)},
            ClipRule(),
        )
        for number in range(VIDEOS)
    ]


def decoders(folder, room=64, **options):
    return Decoders(readers(folder), WHOLE, room, **options)


def contents(items):
    """Per sample the first frames of its clips as their pixels show them; and the outcomes."""
    clips, outcomes = {}, {}
    for item in items:
        if isinstance(item, Clip):
            assert item.sample not in outcomes, "an outcome comes after the last clip"
            clips.setdefault(item.sample, []).append(image_number(item.frames[0]))
        else:
            assert item.sample not in outcomes
            outcomes[item.sample] = item
    return clips, outcomes


@pytest.mark.parametrize(
    "options", [{"workers": 1}, {"workers": 3}, {"workers": 16}, {"workers": 2, "room": 1}]
)
def test_threads_hand_over_what_the_readers_read(folder, options):
    with decoders(folder, **options) as threads:
        got = contents(threads.items())
        assert not threads.working
    plain = contents(item for reader in readers(folder) for item in reader.read(FramePreparer(WHOLE)))
    assert got == plain
    assert (
        got[0].keys() == {*range(4), *range(10, 14)} and got[0][0] == [0, 16, 32] and got[0][10] == [20, 36]
    )


def test_items_may_be_left_after_a_clip_and_asked_for_again(folder):
    items = []
    with decoders(folder) as threads:
        while threads.working:
            for item in threads.items():
                items.append(item)
                if isinstance(item, Clip):
                    break
    with decoders(folder) as threads:
        assert contents(items) == contents(threads.items())


def test_without_blocking_only_what_is_there_comes(folder):
    threads = decoders(folder)
    threads.pause()
    with threads:
        assert list(threads.items(blocking=False)) == [] and threads.working
        threads.resume()
        assert len(list(threads.items())) == VIDEOS * (5 + 2)


def test_in_a_pause_each_thread_ends_the_frame_it_is_at_and_no_more(folder, monkeypatch):
    threads, standing = decoders(folder, room=1000, workers=3), threading.Semaphore(0)
    turn, decoded, at_pause = threads._turn, [], []
    really_decode, really_wait = video_reader.decode, turn.wait

    def decode(*arguments, **options):
        for frame in really_decode(*arguments, **options):
            decoded.append(frame.index)
            if len(decoded) > 30 and not at_pause:
                threads.pause()
                at_pause.append(len(decoded))
            yield frame

    def wait():
        if not turn.is_set():
            standing.release()
        return really_wait()

    monkeypatch.setattr(video_reader, "decode", decode)
    monkeypatch.setattr(turn, "wait", wait)
    with threads:
        assert all(standing.acquire(timeout=300) for _ in range(3))
        in_pause = len(decoded) - at_pause[0]
        threads.resume()
        assert len(list(threads.items())) == VIDEOS * (5 + 2)
    assert in_pause <= 3 and len(decoded) == VIDEOS * FRAMES


def test_when_stopped_nothing_more_comes(folder):
    stop = threading.Event()
    with decoders(folder) as threads:
        next(threads.items(stop))
        stop.set()
        assert list(threads.items(stop)) == [] and threads.working


def test_a_video_that_hangs_fails_its_samples_and_no_others(folder, monkeypatch):
    with hanging(monkeypatch, "1.mp4", 55):  # one of its samples is through
        with decoders(folder, workers=1, timeout=0.5) as threads:
            _, outcomes = contents(threads.items())
    assert outcomes.keys() == {*range(4), *range(10, 14)}
    assert [sample for sample, outcome in outcomes.items() if outcome.reason] == [1]
    assert outcomes[1].reason.startswith("decoding has not moved for 0.5 seconds")
    assert "--decode-timeout" in outcomes[1].reason


def test_only_a_thread_that_decodes_can_hang(folder):
    worker = _Worker(decoders(folder))
    assert not any(worker.stands_still(10, seconds=15) for _ in range(3))  # waits, for its turn or for room
    worker._go_on()
    assert [worker.stands_still(10, seconds=15) for _ in range(3)] == [False, False, True]
    worker._go_on()
    assert not worker.stands_still(10, seconds=15)  # a new picture


def test_a_source_that_cannot_be_read_fails_its_samples_and_no_others(folder, monkeypatch):
    really = video_reader.decode

    def decode(path, *arguments, **options):
        if path.name == "3.mp4":
            raise PermissionError(13, "Permission denied")
        return really(path, *arguments, **options)

    monkeypatch.setattr(video_reader, "decode", decode)
    with decoders(folder) as threads:
        _, outcomes = contents(threads.items())
    failed = {sample: outcome.reason for sample, outcome in outcomes.items() if outcome.reason}
    assert failed.keys() == {3, 13} and all(
        "cannot be read (Permission denied)" in why for why in failed.values()
    )


def test_an_error_of_our_own_reaches_the_caller(folder, monkeypatch):
    def decode(*_, **__):
        raise ZeroDivisionError("a bug")
        yield

    monkeypatch.setattr(video_reader, "decode", decode)
    with pytest.raises(ZeroDivisionError, match="a bug"), decoders(folder) as threads:
        list(threads.items())


def test_no_thread_goes_on_after_the_block(folder):
    with decoders(folder, room=1, workers=2) as threads:
        assert isinstance(next(threads.items()), Clip | Outcome)
    assert threads.ended and [thread for thread in threading.enumerate() if thread.name == "decode"] == []


def test_a_paused_thread_ends_with_the_block(folder):
    with decoders(folder) as threads:
        threads.pause()
    assert [thread for thread in threading.enumerate() if thread.name == "decode"] == []


def test_frames_are_prepared_as_asked(folder):
    small = Preprocessing(resize=(40, 40), crop=32, mean=(0, 0, 0), std=(1, 1, 1))
    with Decoders(readers(folder)[:1], small, 4) as threads:
        clip = next(threads.items())
    assert np.shape(clip.frames) == (16, 32, 32, 3)
