"""The joints of the synthetic divers as the camera sees them: what an estimator without errors would find."""

from pathlib import Path

import numpy as np

from ...disk.atomic import replacing
from ...errors import AqaError
from .broadcast import PlannedDive, check_arguments, plan_broadcasts
from .diver import APPROACH_S, Motion
from .picture import SEEN_WET_S, Camera, camera_rng

# In the order of the constants in `diver`.
JOINTS = (
    *("pelvis", "chest", "neck", "head"),
    *(f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "elbow", "wrist", "hand")),
    *(f"{side}_{part}" for side in ("left", "right") for part in ("hip", "knee", "ankle", "toe")),
)


def write_keypoints(
    folder: str | Path,
    *,
    train_dives: int = 48,
    test_dives: int = 24,
    events: int = 6,
    seed: int = 0,
    size: tuple[int, int] = (640, 360),
    frame_rate: int = 25,
    noise_px: float = 0.0,
) -> list[Path]:
    """Write the joints of every dive that `render_broadcasts` renders with the same arguments.

    Args:
        folder: gets `SAMPLE_ID.npz` for each dive, with `keypoints` and `joints`, their names; files of the
            same names are replaced.
        noise_px: standard deviation of what an estimator is off by, in pixels.

    Shape:
        - keypoints: `(frames, 20, 2)` float32, a row for each frame of the sample, columns and rows of the
          picture; NaN where a joint is under water, or nobody is in the picture.

    Raises:
        AqaError: an argument is out of range, or a file cannot be written.
    """
    check_arguments(train_dives, test_dives, events, seed, size, frame_rate, None)
    if not 0 <= noise_px < np.inf:
        raise AqaError(f"noise_px is {noise_px}, expected pixels from 0 up")
    broadcasts = plan_broadcasts(
        train_dives=train_dives, test_dives=test_dives, events=events, seed=seed, frame_rate=frame_rate
    )
    camera, written = Camera(size, camera_rng(seed)), []
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, 2)))
    for planned in (planned for broadcast in broadcasts for planned in broadcast.dives):
        keypoints = keypoints_of(planned, camera, frame_rate)
        keypoints += (noise_px * rng.standard_normal(keypoints.shape)).astype(np.float32)
        path = Path(folder) / f"{planned.sample.sample_id}.npz"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary, open(temporary, "wb") as file:
                np.savez(file, keypoints=keypoints, joints=np.array(JOINTS))
        except OSError as error:
            raise AqaError(f"{path}: cannot be written ({error.strerror or error})") from None
        written.append(path)
    return written


def keypoints_of(planned: PlannedDive, camera: Camera, frame_rate: int) -> np.ndarray:
    """The joints of a dive in the frames of its sample, `(frames, 20, 2)`; see `write_keypoints`."""
    motion, sample = Motion(planned.dive), planned.sample
    frames = np.arange(sample.start_frame, sample.end_frame)
    keypoints = np.full((len(frames), len(JOINTS), 2), np.nan, np.float32)
    for row, seconds in enumerate((frames - planned.take_off_frame) / frame_rate):
        if -APPROACH_S < seconds < motion.contact_s + SEEN_WET_S:
            joints = motion.joints_at(seconds)[0]
            dry = joints[:, 2] >= 0
            keypoints[row, dry] = camera.pixels(joints[dry])
    return keypoints
