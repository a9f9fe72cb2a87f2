"""What the server's parts share."""

import math
from dataclasses import dataclass

from .annotations import Annotations, Row
from .arrivals import Limits
from .checks import Address
from .folder import Folder
from .jobs import Job, Queue
from .model_uploads import ModelUploads
from .models import Model, Models
from .store import Store
from .videos import Video, Videos

# Of a row, what a score may depend on, or is held against.
_SCORED_WITH = ("sample_id", "video", "start_frame", "end_frame", "group", "difficulty", "final_score")


@dataclass(frozen=True)
class Context:
    """The parts, each of which has its own module."""

    folder: Folder
    address: Address
    store: Store
    videos: Videos
    annotations: Annotations
    queue: Queue
    models: Models
    model_uploads: ModelUploads
    limits: Limits

    def taken(self, video: Video) -> Row:
        """A video that has come: it gets a row, and is prepared for the browser."""
        row = self.annotations.add(video.file)
        self.queue.add("prepare", {"video": video.id, "file": video.file})
        return row

    def score(self, model: Model, row: Row) -> Job:
        """Have a row's action scored, as the row is now."""
        sample = self.annotations.sample(row)
        asked = {name: getattr(sample, name) for name in _SCORED_WITH}
        # JSON has no NaN, the judge who gave no mark.
        asked["judges"] = [None if math.isnan(mark) else mark for mark in sample.judges]
        return self.queue.add(
            "score",
            {
                "model": [str(path) for path in model.paths],
                "label": model.label,
                "row": row.id,
                "sample": {**asked, "classes": dict(sample.classes)},
            },
        )

    def learn(self, model: Model | None) -> Job:
        """Have a model trained on the annotations, on features as this one's, or on those of S3D."""
        number = 1
        taken = {path.name for path in self.folder.runs.iterdir()}
        taken |= {job.asked["name"] for job in self.queue.jobs("learn")}
        while f"own-{number}" in taken:
            number += 1
        return self.queue.add(
            "learn",
            {"name": f"own-{number}", "model": [str(path) for path in model.paths] if model else []},
        )
