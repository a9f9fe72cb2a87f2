"""What is made of the keypoints of one sample after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from ..annotations import Sample
from ..cache_file.feature_spec import FeatureSpec
from ..cache_file.record import ClipFeatures
from ..clips.rule import ClipRule
from ..errors import AqaError, VideoError, some
from .features import CLIPS, COEFFICIENTS, DCT, DCT_TORSO, FORMS, clip_row, dct_row, torso_length
from .skeletons import SKELETONS, Anchors, anchors_of, named_joints, skeleton_of
from .sources import Source, source_of
from .track import PERSONS, THIRDS, Track, check_size, fill_gaps

BACKBONES = {CLIPS: "pose-clips", DCT: "pose-dct", DCT_TORSO: "pose-dct-torso"}
"""What the features of each form are called in a cache."""


@dataclass(frozen=True)
class KeypointOptions:
    """How keypoints are read and what is made of them; the fields mirror the options of
    `aqa-data import-keypoints`.

    Args:
        form: `clips`, `dct` or `dct-torso`.
        clip_rule: which frames of a sample form its clips; of `dct` only its window counts.
        pieces: of `dct`: equal parts of a sample, transformed each for itself.
        third: what a third number of each joint in an array is, `confidence` or `depth`.
        joints: a known skeleton or names with commas, where the files do not say them; None: by their number.
        only: names of the joints that are used; None: all.
        head, shoulders, hips: the joints that features are relative to; None: by their usual names.
        least_confidence: a joint whose confidence is not above this was not found.
        person: of several people in a frame the `surest` or the `largest`; None: there must be one.

    Raises:
        AqaError: a value that cannot be.
    """

    form: str = CLIPS
    clip_rule: ClipRule = field(default_factory=ClipRule)
    pieces: int = 1
    third: str | None = None
    joints: str | None = None
    only: str | None = None
    head: str | None = None
    shoulders: str | None = None
    hips: str | None = None
    least_confidence: float = 0.0
    person: str | None = None

    def __post_init__(self):
        if self.form not in FORMS:
            raise AqaError(f"form is {self.form!r}, expected one of {', '.join(FORMS)}")
        if self.third not in (None, *THIRDS):
            raise AqaError(f"third is {self.third!r}, expected one of {', '.join(THIRDS)}")
        if self.person not in (None, *PERSONS):
            raise AqaError(f"person is {self.person!r}, expected one of {', '.join(PERSONS)}")
        if self.pieces < 1 or (self.form == CLIPS and self.pieces != 1):
            raise AqaError(f"pieces is {self.pieces}, expected at least 1, and with --as clips nothing else")
        if self.form == CLIPS and self.clip_rule.clip_len < 2:
            raise AqaError("clip_len is 1, but a velocity takes two frames; give at least 2")
        if not 0 <= self.least_confidence < 1:
            raise AqaError(f"min_confidence is {self.least_confidence}, expected a number from 0 to below 1")


class Maker:
    """Makes the features of samples, and keeps in mind what was seen of their keypoints.

    Attributes:
        joints (tuple[str]): that are used; those of all samples.
        shares (dict[str, float]): of positions that were filled, by sample_id.
        notes (list[str]): of how they were read.
    """

    def __init__(self, found: dict[str, list[Source]], options: KeypointOptions, videos: Path | None):
        self._found, self._options, self._videos = found, options, videos
        self.joints: tuple[str, ...] = ()
        self.shares: dict[str, float] = {}
        self.notes: list[str] = []
        self._axes: int | None = None
        self._counts: list[int] = []
        # Samples come by their videos, so the last one is all that is to be kept.
        self._read = lru_cache(maxsize=1)(self._read_anew)
        self._frames_of = lru_cache(maxsize=1)(_frames_of)

    @cached_property
    def _anchors(self) -> Anchors:
        options = self._options
        return anchors_of(self.joints, options.head, options.shoulders, options.hips)

    @property
    def filled(self) -> float:
        """Share of positions of all samples that were filled."""
        return float(np.average(list(self.shares.values()), weights=self._counts))

    def rows(self, sample: Sample) -> ClipFeatures:
        """The features of one sample.

        Raises:
            AqaError: its keypoints cannot be used; the text is the reason alone.
        """
        options = self._options
        positions, start = self._of_sample(sample)
        end = start + len(positions)
        rule = options.clip_rule
        if options.form == CLIPS:
            firsts = rule.first_frames(start, end)
        else:
            firsts = [start if rule.window is None else end - rule.window]
        if firsts[0] < start:
            raise AqaError(
                f"the window of {rule.window} frames begins at frame {firsts[0]}, and its keypoints at"
                f" {start}; give those of the whole video, or a smaller --window"
            )
        last = firsts[-1] + rule.clip_span if options.form == CLIPS else end
        used, share = fill_gaps(positions[firsts[0] - start : last - start], self.joints)
        torso = 1.0 if options.form == DCT else torso_length(used, self._anchors)
        if options.form == CLIPS:
            step = rule.frame_step
            clips = [used[first - firsts[0] :][: rule.clip_span : step] for first in firsts]
            rows = np.stack([clip_row(clip, self._anchors, torso) for clip in clips])
        else:
            rows = dct_row(used / torso, self._anchors, options.pieces)[None]
        if not np.isfinite(rows).all():
            raise AqaError("its positions are larger than features can be")
        self.shares[sample.sample_id] = share
        self._counts.append(len(used))
        return ClipFeatures(rows, np.array(firsts, np.int64), np.full(len(rows), np.nan))

    def _of_sample(self, sample: Sample) -> tuple[np.ndarray, int]:
        """The positions of a sample's frames, NaN where nothing was found, and the number of the first; with
        a window, of all frames before its end that there are.
        """
        named = source_of(sample, self._found)
        if named is None:
            raise AqaError("has no keypoints, of its own or of its video")
        name, alone = named
        positions, open_ended = self._read(name)
        first, end, frames = sample.start_frame or 0, sample.end_frame, len(positions)
        if not alone and self._videos is not None:
            frames = self._check_video(sample.video, frames, open_ended)
        if alone and end is not None:
            frames, expected = first + len(positions), end - first
            if len(positions) > expected or (len(positions) < expected and not open_ended):
                raise AqaError(
                    f"its keypoints have {len(positions)} frames, and it has {expected}, [{first}, {end});"
                    " give one row for each of its frames, or name the file after the video"
                )
        end = end if end is not None else (first + len(positions) if alone else frames)
        if not alone and end > frames and not open_ended:
            raise AqaError(
                f"needs frames [{first}, {end}), and the keypoints of its video have {frames}; they are of"
                " another cut of it"
            )
        offset = first if alone else 0
        if not alone and self._options.clip_rule.window is None:
            positions, offset = positions[first:], first
        check_size(end - offset, 1, positions.shape[1])
        rows = np.full((end - offset, *positions.shape[1:]), np.nan)
        rows[: len(positions)] = positions[: len(rows)]
        return rows, offset

    def _check_video(self, video: str, frames: int, open_ended: bool) -> int:
        """How many frames the video has, which must be as many as its keypoints."""
        there = self._frames_of(self._videos / video)
        if there < frames or (there > frames and not open_ended):
            raise AqaError(
                f"its video has {there} frames, and the keypoints have {frames}: they are of another cut or"
                " frame rate; run the estimator on this file"
            )
        return there

    def _read_anew(self, name: str) -> tuple[np.ndarray, bool]:
        """Positions of one person and the joints that are used, of a file, and whether it is open-ended."""
        sources = self._found[name]
        if len(sources) > 1:
            raise AqaError(
                f"{name} has {len(sources)} keypoints ({', '.join(one.where for one in sources)}); keep one"
            )
        try:
            track = sources[0].read()
            joints = self._joints_of(track)
            positions = track.without_doubtful(self._options.least_confidence).person(self._options.person)
            return positions[:, self._used(joints)], track.open_ended
        except AqaError as error:
            raise AqaError(f"{sources[0].where}: {error}") from None

    def _joints_of(self, track: Track) -> tuple[str, ...]:
        count, said = track.positions.shape[2], self._options.joints
        if self._axes not in (None, track.positions.shape[3]):
            raise AqaError(f"has {track.positions.shape[3]} axes, where others have {self._axes}")
        if said is not None:
            joints = named_joints(said)
        elif track.joints:
            joints = track.joints
        elif (known := skeleton_of(count)) is not None:
            joints = SKELETONS[known]
            note = f"{count} joints without names are taken as those of {known} (--joints says others)"
            self.notes += [] if note in self.notes else [note]
        else:
            raise AqaError(f"has {count} joints without names; say them with --joints NAME,NAME,…")
        if len(joints) != count:
            raise AqaError(f"has {count} joints, expected {len(joints)}: {', '.join(joints)}")
        self._axes = track.positions.shape[3]
        return joints

    def _used(self, joints: tuple[str, ...]) -> list[int]:
        """The places of the joints that are used, in the order of the first file."""
        if not self.joints:
            only = joints if self._options.only is None else named_joints(self._options.only)
            if unknown := [name for name in only if name not in joints]:
                raise AqaError(f"has no joint {some(unknown)}; its joints are {', '.join(joints)}")
            self.joints = only
        if lacking := [name for name in self.joints if name not in joints]:
            raise AqaError(f"lacks {some(lacking)}, which others have; leave them out with --only")
        return [joints.index(name) for name in self.joints]

    def surplus(self, samples: Sequence[Sample]) -> list[str]:
        used = {named[0] for sample in samples if (named := source_of(sample, self._found))}
        return [one.where for name, sources in self._found.items() if name not in used for one in sources]

    def spec(self, dim: int) -> FeatureSpec:
        """The record of what features of this size mean."""
        options = self._options
        anchors = self._anchors

        def named(places: Sequence[int]) -> str:
            return " and ".join(self.joints[place] for place in places)

        torso = f"{named(anchors.shoulders)} to {named(anchors.hips)}"
        if options.form == CLIPS:
            layer = (
                f"mean and standard deviation of positions about {named(anchors.hips)}, of their velocities"
                f" and of its own, in torso lengths ({torso})"
            )
        else:
            unit = "unscaled" if options.form == DCT else f"in torso lengths ({torso})"
            layer = (
                f"magnitudes of the first {COEFFICIENTS} DCT coefficients of positions about"
                f" {named([anchors.head])}, {unit}, {options.pieces} piece(s)"
            )
        rule = options.clip_rule
        whole = {} if rule.window is None else {"clip_len": rule.window, "window": rule.window}
        return FeatureSpec(
            backbone=BACKBONES[options.form],
            layer=f"{layer}; {self._axes} axes of {', '.join(self.joints)}",
            dim=dim,
            weights="none (keypoints)",
            weights_sha256="",
            preprocessing={},
            clip_rule=rule.record() if options.form == CLIPS else whole,
        )


def _frames_of(video: Path) -> int:
    from ..video.probing import probe

    try:
        return probe(video).frames
    except VideoError as error:
        raise AqaError(error.reason) from None
