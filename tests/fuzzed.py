"""Every kind of file that strangers may have made, by name; each is fuzzed in tests/test_fuzzed.py and in
benchmarks/fuzz.py, those of `LONG_KINDS` only there.
"""

import fuzzed_features
import fuzzed_runs
import fuzzed_tensors

KINDS = {**fuzzed_features.KINDS, **fuzzed_tensors.KINDS, **fuzzed_runs.KINDS}
LONG_KINDS = {**fuzzed_runs.LONG_KINDS}
