import pickle

import numpy as np
import pytest

from aqa_cache.datasets import restricted_pickle
from aqa_cache.errors import AqaError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Reduce:
    """Pickles as the call `function(*args)`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def dump(path, value, protocol=3):
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_builtin_containers_and_scalars_are_read_as_pickle_reads_them(tmp_path, protocol):
    value = {
        (1, 17): ["<sos>", "ü", None, True, 2**70, -1.5],
        "empty": [(), {}, []],
        "nested": {"a": {"b": (1,)}},
    }
    assert restricted_pickle.load(dump(tmp_path / "x.pkl", value, protocol)) == value


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("code", ["<i8", ">i8", "<i2", "u1", "u8", "<f4", ">f8", "bool"])
def test_numpy_scalars_arrive_as_equal_python_scalars(tmp_path, code, protocol):
    value = np.dtype(code).type(1) if code == "bool" else np.array([123], code)[0]
    got = restricted_pickle.load(dump(tmp_path / "x.pkl", {(value, 1): value}, protocol))
    assert got == {(value.item(), 1): value.item()}
    assert {type(key[0]) for key in got} == {type(value.item())}


def test_both_names_of_numpys_scalar_are_read(tmp_path):
    data = pickle.dumps(np.int64(-7), 3)
    names = {b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n"}
    (written,) = (name for name in names if name in data)
    for number, name in enumerate(names):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(data.replace(written, name))
        assert restricted_pickle.load(path) == -7


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_malicious_pickle_runs_nothing_and_is_named(tmp_path, protocol):
    import os

    proof = tmp_path / "ran"
    path = dump(tmp_path / "evil.pkl", {"caption": Reduce(os.system, f"touch '{proof}'")}, protocol)
    with pytest.raises(AqaError, match=r"evil\.pkl.*(posix|nt)\.system"):
        restricted_pickle.load(path)
    assert not proof.exists()


@pytest.mark.parametrize(
    "value",
    [
        Reduce(eval, "1"),
        Reduce(getattr, "", "join"),
        Reduce(np.frombuffer, b"12345678"),
        np.zeros(3),
        {1, 2}.__class__,
        Reduce,
        complex(1, 2),
    ],
    ids=["eval", "getattr", "numpy function", "array", "class", "own class", "complex"],
)
def test_every_other_global_is_refused(tmp_path, value):
    with pytest.raises(AqaError, match="names the global"):
        restricted_pickle.load(dump(tmp_path / "x.pkl", value))


def test_a_dotted_name_does_not_reach_through_an_admitted_one(tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.")
    with pytest.raises(AqaError, match="names the global"):
        restricted_pickle.load(path)


@pytest.mark.parametrize("name", [b"numpy\ndtype", b"numpy.core.multiarray\nscalar"])
def test_an_admitted_name_cannot_be_altered_by_the_file(tmp_path, name):
    path = tmp_path / "x.pkl"
    # BUILD on the class itself
    path.write_bytes(b"\x80\x02c" + name + b"\nN}X\x04\x00\x00\x00codeK\x01s\x86b.")
    with pytest.raises(AqaError, match="not a whole pickle"):
        restricted_pickle.load(path)
    assert restricted_pickle.load(dump(path, np.int64(5))) == 5


def test_a_numpy_scalar_of_objects_or_text_is_refused(tmp_path):
    for value in (np.str_("x"), np.datetime64("2020-01-01")):
        with pytest.raises(AqaError, match="expected one of"):
            restricted_pickle.load(dump(tmp_path / "x.pkl", value))


@pytest.mark.parametrize("data", [b"", b"not a pickle", pickle.dumps([1, 2, 3] * 99)[:-20], b"\x80\x7f."])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, data):
    path = tmp_path / "damaged.pkl"
    path.write_bytes(data)
    with pytest.raises(AqaError, match=r"damaged\.pkl: is not a whole pickle"):
        restricted_pickle.load(path)


def test_a_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(AqaError, match=r"nowhere\.pkl: cannot be read: No such file"):
        restricted_pickle.load(tmp_path / "nowhere.pkl")


def shared(levels):
    """A list that holds the same list twice, which holds …: few bytes, 2^levels when printed."""
    value = []
    for _ in range(levels):
        value = [value, value]
    return value


def circle():
    value = []
    value.append(value)
    return value


def shared_key(levels):
    """A pickle whose key is a tuple that holds the same tuple twice, and so on: hashing it takes for ever."""
    doubled = b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(levels))
    return b"\x80\x02}(K\x01\x85q\x000" + doubled + b"K\x01u."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pickle.dumps(shared(40)), "the same so often that it is without end"),
        (pickle.dumps({"a": shared(20)}), "the same so often that it is without end"),
        (b"\x80\x02" + b"(" * 100_000 + b"l" * 100_000 + b".", "nested deeper than 32 levels"),
        (pickle.dumps(circle()), "nested deeper than 32 levels"),
        (shared_key(60), "has a key that is a tuple, expected"),
        (pickle.dumps(10**5000), "an integer of 2,077 bytes"),
        (b"L" + b"9" * 5000 + b"L\n.", "is not a whole pickle"),
        (b"\x80\x04\x8d" + (2**60).to_bytes(8, "little") + b".", "is not a whole pickle"),
        (b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".", "is not a whole pickle"),
        (b"\x80\x02X\x03\x00\x00\x00\xed\xa0\x80.", "is no Unicode text"),
        (pickle.dumps({"a": "b\0"}), "a text with a NUL"),
    ],
    ids="shared less deep circle key integer digits text bytes surrogate nul".split(),
)
def test_nothing_takes_time_or_memory_without_end(tmp_path, data, message):
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(AqaError, match=f"x.pkl: .*{message}"):
        restricted_pickle.load(tmp_path / "x.pkl")
