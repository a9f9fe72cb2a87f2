"""Laws of what a page says of the runs that scored."""

from types import SimpleNamespace

from aqa_heads.scoring import background
from aqa_heads.scoring.page import sections


def run_on(*names):
    scored = {"final_score": 1.0, "predicted_score": 2.0}
    rows = [{"sample_id": name, "split": "test", **scored} for name in names]
    rows += [{"sample_id": "t", "split": "train", **scored}]
    rows += [{"sample_id": "u", "split": "test", **scored, "final_score": None}]  # counts for no metric
    summary = {"n_test": len(names) + 1, "spearman": -1e-9, "mae": 1.0}
    return SimpleNamespace(run=SimpleNamespace(summary=summary, predictions=rows))


def test_test_samples_are_those_of_all_folds_and_of_seeds_once():
    folds = background._tested([run_on("a", "b"), run_on("c", "d", "e")])
    seeds = background._tested([run_on("a", "b"), run_on("a", "b")])
    assert folds is not None and folds.n == 5 and seeds is not None and seeds.n == 2
    page = "".join(str(part) for part in sections._tested(folds, 2))
    assert "On 5 test samples, averaged over 2 runs" in page and ">0.000<" in page
