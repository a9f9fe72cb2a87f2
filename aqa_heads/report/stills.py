"""Pictures of test samples, which whoever can open videos gives: a report opens none."""

from collections.abc import Callable, Mapping, Sequence

# From sample_ids and the paths of their feature caches: JPEG files by sample_id, of those whose video was at
# hand.
Stills = Callable[[Sequence[str], Sequence[str]], Mapping[str, Sequence[bytes]]]
