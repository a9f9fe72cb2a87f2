"""A table of scores as a run gives it, for what shows it."""

from pathlib import Path

from aqa_heads.runs.training_samples import TrainingSample
from aqa_heads.scoring.background import Background, Tested
from aqa_heads.scoring.results import ClipContribution, Contributions, Neighbour, Score, ScoreTable

HOSTILE = "<script>alert(1)</script>\"'&"


def scored(sample_id: str, video: str, points: float = 50.0, clips: int = 3, **more) -> Score:
    """A sample of `clips` clips of 16 frames, from frame 25 on."""
    added = tuple(ClipContribution(c, 25 + 16 * c, 1 + 0.64 * c, (-1.0) ** c * (c + 1)) for c in range(clips))
    rest = points - sum(clip.points for clip in added)
    near = [
        TrainingSample(f"near {place}", "old.mp4", (0, 48), 40.0 + place, (7.0, float("nan"), 6.5), HOSTILE)
        for place in range(3)
    ]
    return Score(
        sample_id,
        video,
        (25, 25 + 16 * clips),
        points,
        **{
            "interval": (40.0, 61.5),
            "interval_note": "90 %, with 40 calibration samples: 82 to 97 %",
            "classes": {"position": {"tuck": 0.7, HOSTILE: 0.3}},
            "caption": HOSTILE,
            "contributions": Contributions(added, rest, False),
            "neighbours": tuple(Neighbour(one, 0.9 - place / 10) for place, one in enumerate(near)),
            "share_as_far": 0.5,
            "difficulty": 3.0,
            **more,
        },
    )


def table_of(folder: Path | None, *scores: Score, **more) -> ScoreTable:
    """As `score_table` gives it."""
    tested = Tested(
        24, 0.6, 8.25, 2.0, (0.3, 0.8), {"training_mean": (None, 12.5), "difficulty": (0.4, 11.0)}, 0.9
    )
    scores_known = (20.0, 45.0, 50.5, 55.0, 80.0)
    background = Background(
        "Default model", ("default",), scores_known, (10.0, 20.0), tested, ("It has limits.",)
    )
    return ScoreTable(scores, (), (), (20.0, 80.0), folder, background=background, **more)
