"""What a person sees of a download while a command works."""

import re
from types import SimpleNamespace

import pytest
import torch
from file_server import Quiet

from aqa_cache.weights.download import download
from aqa_cache.weights.published import WeightsRecord
from aqa_cli import progress
from aqa_cli.progress import download_lines, extraction_progress


def test_elsewhere_a_download_is_a_line_a_minute(monkeypatch, capsys):
    clock = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
    with download_lines("s3d-kinetics400") as tell:
        for clock.seconds, received in ((1, 1_000_000), (59, 2_000_000), (61, 3_100_000), (130, 26_000_000)):
            tell(received, 32_000_000)
    with download_lines("c3d") as tell:
        clock.seconds = 200
        tell(7_000_000, None)
    assert capsys.readouterr().err.splitlines() == [
        "s3d-kinetics400: 3.1 of 32.0 MB, 0.1 MB/s",
        "s3d-kinetics400: 26.0 of 32.0 MB, 0.2 MB/s",
        "c3d: 7.0 MB, 0.1 MB/s",
    ]


def test_elsewhere_an_extraction_says_what_is_left_in_minutes_and_then_in_seconds(monkeypatch, capsys):
    clock = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
    tell = progress._Lines()
    for clock.seconds, clips in ((100, 10), (200, 36)):
        tell(SimpleNamespace(samples=1, samples_total=2, clips=clips, clips_total=40))
    assert [line.split(", ")[-1] for line in capsys.readouterr().err.splitlines()] == [
        "5 min to go",
        "22 s to go",
    ]


@pytest.mark.parametrize("size_known", [True, False])
def test_in_a_terminal_a_download_has_the_bar_until_it_is_over(
    server, tmp_path, monkeypatch, capsys, size_known
):
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "110")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Quiet, "size_known", size_known)
    url, folder = server
    torch.save({"conv1.weight": torch.zeros(50_000)}, folder / "w.pth")
    with extraction_progress() as update:
        record = WeightsRecord("w-published", "c3d", f"{url}/w.pth", "", "c3d-pytorch", "test")
        download(record, tmp_path / "kept")
        update(SimpleNamespace(clips=5, clips_total=20))
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    bars = [line.split() for line in re.split(r"[\r\n]+", text) if line.strip()]
    last = [bar for bar in bars if bar[:2] == ["downloading", "w-published"]][-1]
    size = f"{(folder / 'w.pth').stat().st_size / 1000:.1f}"
    assert last[3:5] == [f"{size}/{size if size_known else '?'}", "kB"] and last[6].endswith("B/s")
    assert bars[-1][0] == "extracting" and "5/20" in bars[-1] and bars.index(last) < len(bars) - 1


def test_elsewhere_the_commands_download_in_silence_within_a_minute(server, tmp_path, capsys):
    url, folder = server
    torch.save({"conv1.weight": torch.zeros(2)}, folder / "w.pth")
    with extraction_progress():
        record = WeightsRecord("w", "c3d", f"{url}/w.pth", "", "c3d-pytorch", "test")
        download(record, tmp_path / "kept")
    assert capsys.readouterr().err == ""
