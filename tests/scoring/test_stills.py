"""Laws of the pictures of samples: moments of their own frames, and of nothing outside the videos' folder."""

import io
from dataclasses import replace

import numpy as np
from numbered_video import image_number, write_numbered_video
from PIL import Image
from synthetic_cache import write_synthetic_cache

from aqa_heads.scoring.stills import sample_stills


def test_pictures_are_of_the_samples_frames_in_the_order_of_time(tmp_path, said):
    videos = tmp_path / "videos"
    videos.mkdir()
    write_numbered_video(videos / "v0.mp4", 60)

    def change(index, sample):
        video = {0: "v0.mp4", 1: "../secret.mp4", 2: "gone.mp4", 3: str(tmp_path / "secret.mp4")}[index]
        return replace(sample, video=video, start_frame=10, end_frame=50)

    write_numbered_video(tmp_path / "secret.mp4", 60)
    cache = write_synthetic_cache(tmp_path / "feats.h5", train=4, test=0, change=change)
    names = ["s00", "s01", "s02", "s03", "unknown"]
    found = sample_stills(names, [str(cache), str(tmp_path / "no.h5")], videos)
    assert list(found) == ["s00"]
    pictures = [Image.open(io.BytesIO(each)).resize((64, 64)) for each in found["s00"]]
    numbers = [image_number(np.asarray(picture)) for picture in pictures]
    assert numbers == [19, 29, 39]
    assert "no.h5" in said[0] and "No pictures of 3 sample(s)" in said[1] and "lies outside" in said[1]
