"""What is printed neither acts on a terminal nor fails."""

import ast
import contextlib
import io
import json
import os
import sys
import unicodedata

import pytest
from places import PACKAGES
from synthetic_cache import small_models, write_synthetic_cache
from test_structure import SCRIPTS, commands_of

from aqa_cli.console import console, line
from aqa_cli.data import data
from aqa_cli.options import PathName
from aqa_cli.terminal import own_streams, print_json, print_line, say, shown
from aqa_cli.train import main as train
from aqa_heads.runs.format import read_run

EVERY_CHARACTER = "".join(map(chr, range(sys.maxunicode + 1)))
MANY = EVERY_CHARACTER[:0x2100] + EVERY_CHARACTER[0xD7F0:0xE010] + "跳水🤸"
ENCODINGS = ["ascii", "latin-1", "cp1252", "utf-8"]


def acts(character):
    """Whether a terminal may do more with it than show it."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") and character not in "\t\n"


@contextlib.contextmanager
def printed(encoding="utf-8"):
    """What is written to stdout and stderr in the block, in bytes, as a terminal or file would have it."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding, newline="")
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream), own_streams():
        yield raw
    stream.detach()


def test_every_character_is_shown_as_it_is_or_as_an_escape():
    for character in EVERY_CHARACTER:
        if acts(character):
            assert shown(character).isascii() and shown(character).startswith("\\"), hex(ord(character))
        elif shown(character) != character:  # a change of the direction of writing
            assert unicodedata.bidirectional(character) in "LRE RLE LRO RLO PDF LRI RLI FSI PDI".split()
    assert shown("\x1b]0;title\x07 \u202e\x9b2J\ud800\udce9") == r"\x1b]0;title\x07 \u202e\x9b2J\ud800\xe9"
    assert shown(shown(EVERY_CHARACTER)) == shown(EVERY_CHARACTER)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_character_can_be_printed_in_every_encoding_by_every_way(encoding, monkeypatch):
    monkeypatch.setenv("COLUMNS", "99999")
    with printed(encoding) as raw:
        ways = (say, print_line, print, console().print)
        for way in ways:
            way(MANY.replace("\t", " "))
    text = raw.getvalue().decode(encoding)
    assert not any(map(acts, set(text)))
    assert text == len(ways) * text[: len(text) // len(ways)]


def test_our_own_signs_are_readable_in_ascii():
    with printed("ascii") as raw:
        print_line("12 … ± 3 é")
    assert raw.getvalue() == b"12 ... +/- 3 \\xe9\n"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_is_the_same_record_in_every_encoding(encoding):
    with printed(encoding) as raw:
        print_json([MANY[::-1]])  # in JSON, a high and a low half are together one character
    text = raw.getvalue().decode(encoding)
    assert not any(map(acts, set(text))) and json.loads(text) == [MANY[::-1]]


@pytest.mark.parametrize(
    "path", ["runs/[bold]/a", "a[/b]", "[red]x:smile:", "\x1b[2J\x1b]52;c;Y2F0\x07x", "\\[a]"]
)
def test_a_path_is_no_markup_and_cannot_act(path, monkeypatch):
    from rich.table import Table

    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm"), ("COLUMNS", "200")):
        monkeypatch.setenv(name, value)
    table = Table(title=path, caption=path)
    table.add_column(path)
    table.add_row(path)
    table.add_row(line(path, "bold red"))
    with printed() as raw:
        on = console()
        on.print(path)
        on.print(table)
        with on.status(line(path)):
            pass
        say(path)
    text = raw.getvalue().decode()
    assert "\x1b[1;31m" in text  # our own colours come through
    assert text.count(shown(path)) >= 7 and "\x1b[2J" not in text and "\x1b]" not in text


def test_all_that_is_printed_goes_through_one_place():
    for file in PACKAGES["aqa_cli"].glob("*.py"):
        tree = ast.parse(file.read_text())
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        if file.name != "terminal.py":
            assert not calls & {"click.echo", "click.secho", "print"}, file
        if file.name != "console.py":
            assert not calls & {"Console", "Text", "Text.from_markup", "rich.print"}, file
        if file.name != "options.py":
            assert "click.Path" not in calls, file


@pytest.fixture
def cache(tmp_path):
    return write_synthetic_cache(tmp_path / "feats.h5")


@contextlib.contextmanager
def failing(kind):
    """A stdout, or a stderr, to which nothing can be written."""
    if kind == "full":
        stream = open("/dev/full", "w")
    else:
        reading, writing = os.pipe()
        os.close(reading)
        stream = open(writing, "w")
    with stream:
        yield stream


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize("kind", ["full", "closed"])
@pytest.mark.parametrize("redirect", [contextlib.redirect_stdout, contextlib.redirect_stderr])
def test_output_that_cannot_be_written_loses_only_the_words(cache, tmp_path, kind, redirect, capsys):
    words = ["--features", str(cache), "--out", str(tmp_path / "runs"), "--exp", "ridge", "--no-meteor"]
    with small_models(), failing(kind) as stream, redirect(stream):
        train.main(words, standalone_mode=False)
    assert read_run(tmp_path / "runs" / "ridge").summary["spearman"] is not None
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["ridge"]
    said = capsys.readouterr().err
    assert ("No space left on device" in said) == (kind == "full" and redirect is contextlib.redirect_stdout)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
@pytest.mark.parametrize("words", ["show", "show --json", "verify", "audit", "audit --json -"])
def test_a_command_that_only_prints_says_that_it_could_not(cache, words, capsys):
    command, *options = words.split()
    with failing("full") as stream, contextlib.redirect_stdout(stream), pytest.raises(SystemExit) as ended:
        data.main([command, str(cache), *options])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("No space left on device") == 1
    with failing("closed") as stream, contextlib.redirect_stdout(stream), pytest.raises(SystemExit) as ended:
        data.main([command, str(cache), *options])
    assert not ended.value.code and capsys.readouterr().err == ""


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_can_be_printed_in_ascii(script):
    first, *others = commands_of(script)
    for words in ([], *([one.name] for one in others)):
        with printed("ascii") as raw:
            first.main([*words, "--help"], standalone_mode=False)
        assert raw.getvalue().startswith(b"Usage:")


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_empty_path_is_refused(script):
    for one in commands_of(script):
        for parameter in one.params:
            if isinstance(parameter.type, PathName):
                with pytest.raises(Exception, match="is empty, expected the name of a file or folder"):
                    parameter.type.convert("", parameter, None)
