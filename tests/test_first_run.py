"""README's first run as a newcomer has it: own videos and a spreadsheet, three commands without an option,
the weights downloaded.
"""

import csv

import openpyxl
import pytest
from click.testing import CliRunner
from numbered_video import write_numbered_video
from places import ROOT

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.video.times import frame_at, frame_times
from aqa_cli import extract, report, train
from aqa_heads.runs.format import read_run

GOOD = ROOT.parent / "shared" / "media" / "good"
SCORES = [7.5, 6.25, 8.0, 5.5, 9.25, 4.75, 6.0, 7.0, 8.5, 5.0, 9.0, 6.5]


def twelve_clips(folder):
    """A clip for each score, and an .xlsx with their names and scores alone."""
    book = openpyxl.Workbook()
    book.active.append(["Video", "Score"])
    for number, score in enumerate(SCORES):
        write_numbered_video(folder / f"clip {number}.mp4", 16 + number)
        book.active.append([f"clip {number}.mp4", score])
    book.save(folder / "scores.xlsx")
    return [(f"clip {number}.mp4", None, None, score) for number, score in enumerate(SCORES)]


def twelve_stretches(folder):
    """Three stretches of each of four filmed videos, as a spreadsheet program saves them where a comma is the
    decimal one.
    """
    if not GOOD.is_dir():
        pytest.skip(f"{GOOD} is not there")
    rows = []
    for video in sorted(GOOD.iterdir()):
        (folder / video.name).symlink_to(video)
        rows += [(video.name, 1.3 * number + 0.2, 1.3 * number + 1.1) for number in range(3)]
    rows = [(*row, score) for row, score in zip(rows, SCORES, strict=True)]
    with open(folder / "Bewertung.csv", "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
        writer.writerow(["Video", "Start", "End", "Score"])
        for name, start, end, score in rows:
            writer.writerow(
                [
                    name,
                    f"0:0{start:.3f}".replace(".", ","),
                    f"0:0{end:.3f}".replace(".", ","),
                    f"{score}".replace(".", ","),
                ]
            )
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("make", [twelve_clips, pytest.param(twelve_stretches, marks=pytest.mark.long)])
def test_from_videos_and_a_spreadsheet_to_a_report_in_three_commands(
    make, default_weights, tmp_path, monkeypatch
):
    def run(command, *words):
        result = CliRunner().invoke(command.main, words)
        assert result.exit_code == 0, result.output
        return result.output

    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    rows = make(tmp_path / "clips")
    said = run(extract, "clips/", "feats.h5")
    assert "12 row(s)" in said and f"Downloading {default_weights.name}" in said
    assert "'Score' as final_score" in said
    with FeatureCache("feats.h5") as cache:
        assert not any(cache.reasons) and [s.final_score for s in cache.samples] == SCORES
        for sample, (video, start, end, _) in zip(cache.samples, rows, strict=True):
            assert sample.video == video
            if start is not None:
                times = frame_times(tmp_path / "clips" / video)
                assert (sample.start_frame, sample.end_frame) == (
                    frame_at(times, start),
                    frame_at(times, end),
                )
    said = run(train, "--features", "feats.h5")
    assert "no sample has a split, so each is tested in one of 5 folds" in said
    rows = [row for folder in (tmp_path / "runs").iterdir() for row in read_run(folder).predictions]
    tested = [row["sample_id"] for row in rows if row["split"] == "test"]
    assert len(set(tested)) == len(tested) == 12
    run(report, "runs/")
    page = (tmp_path / "report.html").read_text()
    assert "Default model" in page and "12" in page
