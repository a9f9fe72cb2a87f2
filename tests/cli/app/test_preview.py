"""What the browser plays has the frames of the video: as many, at the same times, upright."""

import json

import av
import numpy as np
import pytest
from places import ROOT

from aqa_cache.errors import AqaError
from aqa_cache.video.decoding import decode
from aqa_cli.app.preview import write_preview

ODD = ROOT.parent / "shared/media/odd"


def frames_of(path):
    return [(frame.pts_seconds, frame.rgb().copy()) for frame in decode(path)]


def test_every_frame_is_there_at_its_time(numbered_video, tmp_path):
    told = []
    write_preview(numbered_video, tmp_path / "p", lambda done, total: told.append((done, total)))
    said = json.loads((tmp_path / "p.json").read_text())
    theirs, mine = frames_of(numbered_video), frames_of(tmp_path / "p.mp4")
    assert len(said["times"]) == len(theirs) == len(mine) == 300 and told[-1] == (300, 300)
    first = theirs[0][0]
    for time, (pts, picture), (shown_at, shown) in zip(said["times"], theirs, mine, strict=True):
        assert time == pytest.approx(pts - first, abs=1e-5) and shown_at == pytest.approx(time, abs=1e-4)
        assert np.abs(picture.astype(int) - shown).mean() < 12
    with av.open(str(tmp_path / "p.mp4")) as file:
        assert file.streams.video[0].codec_context.name == "h264"


def test_a_video_without_a_whole_frame_is_one_message_and_leaves_nothing(tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    with pytest.raises(AqaError):
        write_preview(tmp_path / "bad.mp4", tmp_path / "p", lambda *_: None)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.mp4"]


@pytest.mark.skipif(not ODD.is_dir(), reason="no odd media here")
def test_odd_videos_are_prepared_too(tmp_path):
    for path in sorted(ODD.iterdir()):
        expected = frames_of(path)
        write_preview(path, tmp_path / "p", lambda *_: None)
        said = json.loads((tmp_path / "p.json").read_text())
        height, width = expected[0][1].shape[:2]
        assert len(said["times"]) == len(expected) == len(frames_of(tmp_path / "p.mp4")), path
        assert said["times"] == sorted(set(said["times"])), path
        assert said["width"] / said["height"] == pytest.approx(width / height, rel=0.05), path
