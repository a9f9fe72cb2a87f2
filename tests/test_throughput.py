import json

import pytest
from click.testing import CliRunner

from aqa_cli.bench import main


@pytest.mark.slow
def test_every_row_is_measured_and_written(tmp_path):
    options = ["--size", "32", "--batch-size", "2", "--seconds", "0.05", "--json", str(tmp_path / "b.json")]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "b.json").read_text())
    for name in (
        "gemm_gflops",
        "eager_clips",
        "compute_clips",
        "decode_frames",
        "end_to_end_clips",
        "bound_clips",
        "peak_memory",
    ):
        assert figures[name] > 0
    assert figures["compute_of_gemm"] == pytest.approx(
        figures["compute_clips"] * figures["clip_gflop"] / figures["gemm_gflops"]
    )
    assert figures["decode_clips"] == pytest.approx(figures["decode_frames"] / 16)
    for row in ("matrix product", "backbone, as published", "backbone, as extracted with", "decoding", "end to end"):
        assert row in result.stdout
    assert "random" not in figures["device"]


def test_mistakes(tmp_path):
    result = CliRunner().invoke(main, ["--size", "7"])
    assert result.exit_code == 2 and "size is 7 pixels" in result.stderr
