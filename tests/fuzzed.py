"""Every kind of file that strangers may have made, by name; each is fuzzed in tests/test_fuzzed.py and in
benchmarks/fuzz.py.
"""

import fuzzed_features
import fuzzed_tensors

KINDS = {**fuzzed_features.KINDS, **fuzzed_tensors.KINDS}
