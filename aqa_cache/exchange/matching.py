"""Which arrays of a source are whose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..annotations import Sample
from ..cache_file.schema import PLAIN_VIEW
from ..errors import AqaError, some
from .feature_files import SUFFIXES, FeatureFile


@dataclass(frozen=True)
class Match:
    """Samples and the arrays that are named after them.

    Args:
        names: of arrays, by sample_id and view.
        files: by sample_id and view, of samples that have the plain view.
        missing: sample_ids without it.
        surplus: where arrays lie that belong to none of `files`.
        several: by sample_id the arrays of one name, where there is more than one.
    """

    names: Mapping[tuple[str, str], str]
    files: dict[tuple[str, str], FeatureFile]
    missing: list[str]
    surplus: list[str]
    several: dict[str, list[FeatureFile]]

    def mistakes(
        self,
        source: Path,
        samples: Sequence[Sample],
        annotations: Path,
        allow_missing: bool,
        ignore_surplus: bool,
    ) -> list[str]:
        """What is wrong with the names, a sentence each.

        Raises:
            AqaError: no array is named after a sample.
        """
        if not self.files:
            raise AqaError(_nothing_fits(source, annotations, samples, self.surplus))
        mistakes: list[str] = []
        if self.several:
            listed = some(
                [
                    f"{sample_id} ({', '.join(f.where for f in them)})"
                    for sample_id, them in self.several.items()
                ]
            )
            mistakes.append(
                f"{len(self.several)} sample(s) have more than one array: {listed}; keep one of each"
            )
        if self.missing and not allow_missing:
            mistakes.append(
                f"{len(self.missing)} of {len(samples)} samples have no features: {some(self.missing)}; add"
                f" {_form(source)}, or --allow-missing writes them as failed"
            )
        if self.surplus and not ignore_surplus:
            mistakes.append(_not_wanted(self.surplus, self.names, annotations))
        return mistakes


def match(
    samples: Sequence[Sample],
    names: Mapping[tuple[str, str], str],
    arrays: Mapping[str, list[FeatureFile]],
) -> Match:
    """Find the arrays of samples.

    Args:
        names: of arrays, by sample_id and view (`feature_files.array_names`).
        arrays: by name.
    """
    files = {place: arrays[name][0] for place, name in names.items() if name in arrays}
    missing = [sample.sample_id for sample in samples if (sample.sample_id, PLAIN_VIEW) not in files]
    files = {place: file for place, file in files.items() if (place[0], PLAIN_VIEW) in files}
    used = {names[place] for place in files}
    surplus = [file.where for name, several in arrays.items() if name not in used for file in several]
    several = {place[0]: arrays[names[place]] for place in files if len(arrays[names[place]]) > 1}
    return Match(names, files, missing, surplus, several)


def _nothing_fits(source: Path, annotations: Path, samples: Sequence[Sample], surplus: Sequence[str]) -> str:
    if surplus:
        return (
            f"{source}: none of its {len(surplus)} arrays is named after a sample (arrays:"
            f" {some(surplus, 3)}; samples of {annotations.name}:"
            f" {some([sample.sample_id for sample in samples], 3)}); name them SAMPLE_ID, or correct"
            " sample_id"
        )
    there = (
        f"; its files end in {some(sorted(_endings(source)))}" if source.is_dir() and _endings(source) else ""
    )
    return f"{source}: holds no features{there}; expected {_form(source)} for each of {len(samples)} samples"


def _endings(folder: Path) -> set[str]:
    return {path.suffix or "no suffix" for path in folder.rglob("*") if path.is_file()}


def _form(source: Path) -> str:
    if source.is_dir():
        return "SAMPLE_ID" + ", SAMPLE_ID".join(SUFFIXES[:-1]) + f" or SAMPLE_ID{SUFFIXES[-1]}"
    return "an array named SAMPLE_ID"


def _not_wanted(surplus: Sequence[str], names: Mapping[tuple[str, str], str], annotations: Path) -> str:
    ids = {sample_id for sample_id, _ in names}
    views = sorted(
        {
            where.rsplit("@", 1)[1].removesuffix(Path(where).suffix)
            for where in surplus
            if where.rsplit("@", 1)[0] in ids
        }
    )
    hint = f" (if {some(views, 3)} are views of samples, name them with --view)" if views else ""
    return (
        f"{len(surplus)} array(s) belong to no sample of {annotations.name} that is imported:"
        f" {some(surplus)}{hint}; correct the names, or --ignore-surplus leaves them out"
    )
