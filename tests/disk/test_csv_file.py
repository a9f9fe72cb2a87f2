import csv
import io
import os
import sys

import pytest

from aqa_cache.disk.csv_file import csv_bytes, read_rows, write_rows

EVERY_CHARACTER = [chr(number) for number in range(sys.maxunicode + 1)]


def read_back(path, rows):
    write_rows(path, rows)
    return [row for _, row in read_rows(path)]


def test_every_character_is_read_back_wherever_it_stands(tmp_path):
    rows = [["first", "second", "third"]]
    tried = EVERY_CHARACTER[:0x3000] + ["\ud800", "\udfff", "🤸"]
    rows += [[c, f"{c}a{c}b{c}", f'{c}"{c},{c}'] for c in tried]
    assert read_back(tmp_path / "a.csv", rows) == rows
    starts = range(0, len(EVERY_CHARACTER), 4096)
    many = [["".join(EVERY_CHARACTER[start : start + 4096])] for start in starts]
    assert read_back(tmp_path / "a.csv", many) == many


CELLS = ["", "\ufeff", "\ufeffa", "\r", "\n", "\r\n", '"', '""', ",", " ", "\0", "x" * 200_000]


@pytest.mark.parametrize("cell", CELLS, ids=range(len(CELLS)))
def test_a_cell_alone_in_its_file_is_read_back(tmp_path, cell):
    assert read_back(tmp_path / "a.csv", [[cell]]) == [[cell]]


def test_others_read_the_same(tmp_path):
    rows = [["a", 'b"c', "d,e", "f\ng", "h\ri", "", " j "], ["1"] * 7]
    assert [*csv.reader(io.StringIO(csv_bytes(rows).decode(), newline=""))] == rows


def test_numbers_are_exact_and_none_is_empty():
    assert csv_bytes([[1, 0.1 + 0.2, None, True]]) == b"1,0.30000000000000004,,True\n"


@pytest.mark.parametrize("text", [b'a,"b\n', b'"a"b,c\n', b"a\rb\xff"])
def test_what_is_no_csv_is_a_value_error(tmp_path, text):
    (tmp_path / "a.csv").write_bytes(text)
    with pytest.raises(ValueError):
        read_rows(tmp_path / "a.csv")


def test_a_pipe_without_a_writer_is_empty_and_a_device_refused(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    assert read_rows(tmp_path / "a.csv") == []
    with pytest.raises(OSError, match="is a device"):
        read_rows("/dev/zero")


def test_a_pipe_with_a_writer_is_read_to_its_end(tmp_path):
    reading, writing = os.pipe()
    os.write(writing, csv_bytes([["a"], ["b\r"]]))
    os.close(writing)
    assert [row for _, row in read_rows(f"/dev/fd/{reading}")] == [["a"], ["b\r"]]
    os.close(reading)
