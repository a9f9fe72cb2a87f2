"""Elements of files: those of whole files do not break, and those that lost bytes do."""

import random

import pytest
from media_law import KINDS, cut, outcome, without_bytes, write_media
from places import MEDIA

from aqa_cache.video.decoding import decode
from aqa_cache.video.layout.structure import Structure

FRAMES = 60
# One of each container, and each codec whose decoder does not notice that frames are gone.
CHOSEN = [
    "MP4 with its index first, H.264",
    "fragmented MP4, H.264",
    "MOV, MJPEG",
    "Matroska, H.264",
    "WebM, VP8",
    "AVI, MJPEG",
    "FLV, FLV1",
    "WMV, WMV2",
    "MPEG-TS, H.264",
]


@pytest.fixture(scope="module", params=CHOSEN)
def whole(request, tmp_path_factory):
    """With sound."""
    return write_media(tmp_path_factory.mktemp("media") / "whole", request.param, FRAMES, sound=True)


def breaks(path) -> tuple[int | None, bool]:
    structure = Structure(path)
    structure.breaks()
    structure.close()
    return structure.broken_at, structure.cut


@pytest.mark.parametrize("path", sorted(MEDIA.iterdir()), ids=lambda path: path.name)
def test_files_of_others_do_not_break(path):
    assert breaks(path) == (None, False)


def test_a_whole_file_gives_all_its_frames(whole):
    assert breaks(whole) == (None, False)
    assert outcome(whole).frames == FRAMES and outcome(whole).holds(FRAMES)


@pytest.mark.parametrize("change", [cut, without_bytes])
def test_what_is_missing_is_said_and_frames_keep_their_numbers(whole, change):
    rng = random.Random(0)
    for _ in range(5):
        path = change(whole, rng.uniform(0.15, 0.95))
        got = outcome(path)
        assert got.holds(FRAMES), got
        if got.message:
            # What lies in the readable part comes the same with jumps and threads.
            assert outcome(path, threads=2) == got
            if got.frames:
                last = got.frames - 1
                *_, frame = decode(path, wanted=[(last, last + 1)])
                assert frame.index == last


def test_a_break_is_known_once_its_element_is_reached(whole):
    path = without_bytes(whole, 0.5)
    place, _ = breaks(path)
    if place is not None and place < path.stat().st_size:
        structure = Structure(path)
        assert not structure.breaks_before(place - 1) and structure.breaks_before(place)
        structure.close()


def test_what_is_no_container_does_not_break(tmp_path):
    path = tmp_path / "noise"
    path.write_bytes(random.Random(0).randbytes(100_000))
    assert breaks(path) == (None, False)


def test_the_kinds_are_known():
    assert set(CHOSEN) <= KINDS.keys()


def test_chunks_of_one_size_that_fit_together_again_are_known_from_the_index(tmp_path):
    whole = write_media(tmp_path / "whole", "AVI, MJPEG", FRAMES, sound=False)
    data = whole.read_bytes()
    begin = [place for place in range(len(data) - 4) if data[place : place + 4] == b"00dc"]
    del begin[0]  # in the header
    lossy = tmp_path / "lossy.avi"
    lossy.write_bytes(data[: begin[20]] + data[begin[21] :])  # one frame, from its first byte to its last
    got = outcome(lossy)
    # Frame 19 is given up too: the loss may have begun in it.
    assert (got.frames, got.wrong) == (19, 0) and "is damaged after frame 18" in got.message
