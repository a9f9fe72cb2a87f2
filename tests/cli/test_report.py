"""The command that writes a report, with what only a person at a terminal asks of it."""

from dataclasses import replace

from click.testing import CliRunner
from made_runs import leave_out_drawing
from numbered_video import write_numbered_video
from synthetic_cache import write_synthetic_cache

from aqa_cli.report import main
from aqa_heads import TrainingConfig, train


def test_pictures_of_the_videos_stand_beside_the_samples(tmp_path, monkeypatch):
    leave_out_drawing(monkeypatch)
    videos = tmp_path / "videos"
    videos.mkdir()
    write_numbered_video(videos / "v.mp4", 60)
    cache = write_synthetic_cache(
        tmp_path / "feats.h5",
        train=8,
        test=4,
        change=lambda index, sample: replace(
            sample, video="v.mp4", start_frame=4 * index, end_frame=4 * index + 4
        ),
    )
    settings = {"device": "cpu", "meteor": False, "threads": 1}
    run = train(TrainingConfig(cache, "ridge", out=tmp_path / "runs", protocol="paper", **settings))
    page = tmp_path / "report.html"
    answer = CliRunner().invoke(main, [str(run.folder), "-o", str(page), "--videos", str(videos)])
    assert answer.exit_code == 0, answer.output
    assert page.read_text().count('class="still"') == 4 * 3
    answer = CliRunner().invoke(main, [str(run.folder), "-o", str(page), "--videos", str(tmp_path / "no")])
    assert answer.exit_code == 2 and "no: is no folder" in answer.output
