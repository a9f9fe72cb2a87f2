"""What becomes of the samples of a video that is not whole."""

import re

import pytest
from media_law import cut, remux, write_media
from numbered_video import image_number, write_numbered_video

from aqa_cache.annotations import Sample
from aqa_cache.clips.assembler import Clip
from aqa_cache.clips.preprocess import FramePreparer, Preprocessing
from aqa_cache.clips.rule import ClipRule
from aqa_cache.video.reader import VideoReader

UNCHANGED = Preprocessing(resize=(64, 64), crop=64, mean=(0, 0, 0), std=(1, 1, 1))
FRAMES = 100


def read(path, *samples):
    """Frame numbers as clips' pixels show them, and the reason of every sample."""
    clips, reasons = {}, {}
    reader = VideoReader(path, dict(enumerate(samples)), ClipRule())
    for item in reader.read(FramePreparer(UNCHANGED)):
        if isinstance(item, Clip):
            clips.setdefault(item.sample, []).append([image_number(frame) for frame in item.frames])
        else:
            reasons[item.sample] = item.reason
    return clips, reasons


@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        ("FLV, FLV1", "frames that its header promises; copy or download it again"),
        ("Matroska, H.264", "frames that its header promises; copy or download it again"),
        ("fragmented MP4, H.264", "of about 80 frames that its header promises"),
    ],
)
def test_samples_inside_the_readable_part_of_a_cut_file_go_on(tmp_path, kind, promise):
    whole_file = write_media(tmp_path / "whole", kind, FRAMES, sound=True)
    data = whole_file.read_bytes()
    if "MP4" in kind:  # between a fragment's description and its frames
        place = [found.end() for found in re.finditer(b"mdat", data)][3]
        path = whole_file.with_stem("cut")
        path.write_bytes(data[:place])
    else:
        path = cut(whole_file, 0.59)
    inside, outside, whole = Sample("inside", "", 20, 36), Sample("outside", "", 70, 99), Sample("whole", "")
    clips, reasons = read(path, inside, outside, whole)
    assert clips[0] == [list(range(20, 36))] and not reasons[0]
    assert reasons[1].startswith("needs frames [70, 99) but the video ends early") and promise in reasons[1]
    assert reasons[2].startswith("ends early") and promise in reasons[2]


def test_numbers_that_are_shifted_fail_the_samples_that_use_them(tmp_path, said):
    whole = write_numbered_video(tmp_path / "whole.mp4", FRAMES, g="25")
    path = remux(whole, tmp_path / "late.mp4", lambda number, data: data if number else None)
    clips, reasons = read(path, Sample("range", "", 20, 36), Sample("all", ""), Sample("rest", "", 40))
    assert clips.keys() == {1} and clips[1][0] == list(range(25, 41)) and not reasons[1]
    for sample in (0, 2):
        assert reasons[sample].startswith(
            "its video does not begin with a keyframe: 24 frames before the first that can be shown are lost"
        )
    assert len(said) == 1 and "does not begin with a keyframe" in said[0]
    assert read(path, Sample("range", "", 20, 36))[0] == {}
