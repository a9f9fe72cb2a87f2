"""What holds for the project as a whole: which way imports go, what is optional, that every command is
documented.
"""

import ast
import importlib
import os
import re
import subprocess
import sys
import tomllib

import click
import pytest
from places import PACKAGES, ROOT

from aqa_cache import __version__

MAY_IMPORT = {
    "aqa_cache": {"aqa_cache"},
    "aqa_heads": {"aqa_heads", "aqa_cache"},
    "aqa_cli": {"aqa_cli", "aqa_heads", "aqa_cache"},
}
# Which wing may import which; itself and the modules beside the wings (errors, annotations) always.
WINGS = {
    "aqa_cache": {
        "disk": "",
        "remote": "disk",
        "tables": "disk",
        "machine": "",
        "clips": "",
        "video": "clips machine",
        "backbones": "clips disk machine",
        "cache_file": "clips disk remote",
        "weights": "backbones cache_file clips disk",
        "annotation_tools": "disk tables video",
        "exchange": "cache_file disk",
        "keypoints": "cache_file clips disk exchange video",
        "frame_store": "cache_file clips disk video",
        "datasets": "clips disk machine video",
        "extraction": "backbones cache_file clips disk machine remote tables video weights",
        "fleet": "backbones cache_file clips disk extraction machine remote video weights",
    },
    "aqa_heads": {
        "settings": "",
        "captions": "",
        "data": "captions settings",
        "networks": "captions settings",
        "runs": "captions networks",
        "evaluation": "captions data networks runs settings",
        "training": "captions data evaluation networks runs settings",
        "report": "data evaluation runs settings",
        "end_to_end": "data evaluation networks runs settings training",
        "scoring": "captions data evaluation networks report runs settings training",
    },
}
# Of aqa_cache, what the heads may know, and which of their wings may open videos and run backbones.
HEADS_MAY_IMPORT = {"cache_file", "clips", "disk", "machine", "remote", "tables"}
ABOVE_BOTH = {"end_to_end", "scoring"}

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SCRIPTS = PYPROJECT["project"]["scripts"]
BREAK = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {broken}:
            raise RuntimeError("operator torchvision::nms does not exist")
sys.meta_path.insert(0, Broken())
"""


def imported(path, package):
    """Modules a file imports, relative ones made absolute; with every name taken from one, which may be a
    module too.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = []
            if node.level:
                base = [package, *path.relative_to(PACKAGES[package]).parts[:-1]]
                base = base[: len(base) - node.level + 1]
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def wing_of(module, package):
    """The wing a module lies in, for one beside the wings None."""
    name = module.removeprefix(f"{package}.").split(".")[0]
    return name if name in WINGS[package] else None


@pytest.mark.parametrize("package", WINGS)
def test_wings_import_what_they_may(package):
    for path in PACKAGES[package].rglob("*.py"):
        folder = path.relative_to(PACKAGES[package]).parts[0]
        for module in imported(path, package):
            top, wing = module.split(".")[0], None
            if top in WINGS:
                wing = wing_of(module, top)
            if wing is None or folder not in WINGS[package]:
                continue
            if top == package:
                assert wing in {folder, *WINGS[package][folder].split()}, f"{path} imports {module}"
            elif folder not in ABOVE_BOTH:
                assert wing in HEADS_MAY_IMPORT, f"{path} imports {module}: heads must not need a decoder"


@pytest.mark.parametrize("package", WINGS)
def test_wings_lie_on_floors(package):
    """Each wing imports only wings named before it: no circles."""
    before = set()
    for wing, others in WINGS[package].items():
        assert set(others.split()) <= before, f"{wing} imports a wing that is named after it"
        before.add(wing)
    folders = {path.parent.name for path in PACKAGES[package].glob("*/__init__.py")}
    assert folders == before, "the rule names every wing"


@pytest.mark.parametrize("package", ["aqa_cache", "aqa_heads"])
def test_type_checkers_see_what_is_imported_on_first_use(package):
    """The same names and modules for the interpreter, for type checkers, and for what is checked."""
    exports = vars(importlib.import_module(package))["_EXPORTS"]
    assert importlib.import_module(package).__all__ == list(exports)
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    (branch,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in branch.body for alias in node.names}
    assert ast.unparse(branch.test) == "TYPE_CHECKING" and seen == exports
    checked = {name for name in PYPROJECT["tool"]["pyright"]["include"] if name.startswith(package)}
    modules = {"__init__", *exports.values()}
    assert checked == {f"{package}/{module.replace('.', '/')}.py" for module in modules}


def test_what_users_import_is_checked_strictly():
    settings = PYPROJECT["tool"]["pyright"]
    assert settings["strict"] == settings["include"]


def python(code, environment=None):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )


def test_importing_is_cheap():
    heavy = "torch torchvision torchcodec matplotlib av scipy h5py".split()
    result = python(
        f"import sys, aqa_cache, aqa_heads; print([name for name in {heavy} if name in sys.modules])"
    )
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, "1 None 3000"),
        ({"THP_MEM_ALLOC_ENABLE": "0", "OMP_WAIT_POLICY": "ACTIVE"}, "0 ACTIVE None"),
        ({"GOMP_SPINCOUNT": "10000"}, "1 None 10000"),
    ],
)
def test_the_commands_set_up_torch_before_it_is_imported_unless_the_user_has(said, expected):
    names = ("THP_MEM_ALLOC_ENABLE", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in names} | said
    code = f"import aqa_cli, os, sys; assert 'torch' not in sys.modules; print(*map(os.environ.get, {names}))"
    result = python(code, environment)
    assert result.stdout.strip() == expected, result.stderr


def test_training_on_cached_features_loads_no_decoder():
    result = python(
        "import sys, aqa_heads.training.run, aqa_cli.train; print([name for name in ('av',) if name in"
        " sys.modules])"
    )
    assert result.stdout.strip() == "[]", result.stderr


def test_optional_libraries_may_be_broken_until_they_are_needed():
    code = (
        BREAK.format(broken={"torchvision", "torchcodec", "matplotlib", "av"})
        + "import aqa_cache.extraction.run, aqa_cache.cache_file.reader, aqa_cache.backbones.c3d,"
        " aqa_heads.training.run, aqa_cli.extract, aqa_cli.train\nfrom aqa_cache.backbones.c3d import C3D;"
        " C3D()\nfrom aqa_cache.errors import AqaError\nfrom aqa_cache.backbones.s3d import S3D\nS3D()\nfrom"
        " aqa_cache.backbones.torchvision_networks import r2plus1d_18\nfrom aqa_cache.video.decoding import"
        " decode\nfor use in (r2plus1d_18, lambda: next(decode(__import__('sys').executable))):\n"
        "    try:\n        use()\n    except AqaError as error:\n        print(error)\n"
    )
    result = python(code)
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert first.startswith(
        "torchvision is needed for the R(2+1)D-18 backbone, but importing it failed (RuntimeError: operator"
    )
    assert second.startswith("av is needed for decoding video") and second.endswith(
        "install it with: pip install av"
    )


def commands_of(script):
    """The command, and its subcommands."""
    module, function = SCRIPTS[script].split(":")
    command = getattr(importlib.import_module(module), function)
    return [command, *getattr(command, "commands", {}).values()]


def test_help_and_version_load_no_torch():
    code = f"""
import importlib, sys
from click.testing import CliRunner
for target in {list(SCRIPTS.values())}:
    module, function = target.split(":")
    command = getattr(importlib.import_module(module), function)
    for words in [[], *([name] for name in getattr(command, "commands", {{}}))]:
        answers = [CliRunner().invoke(command, [*words, option]) for option in ("-h", "--help", "--version")]
        assert [answer.exit_code for answer in answers] == [0, 0, 0], (target, words)
        assert answers[0].stdout == answers[1].stdout and answers[2].stdout.strip().endswith(" 0.1.0"), words
print([name for name in ("torch", "torchvision", "matplotlib", "scipy") if name in sys.modules])
"""
    result = python(code.replace("0.1.0", __version__))
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_command_is_in_the_readme_and_has_help(script):
    assert f"`{script}`" in (ROOT / "README.md").read_text()
    commands = commands_of(script)
    for one in commands[1:]:
        assert re.search(rf"\b{one.name}\b", (ROOT / "README.md").read_text()), (
            f"README.md lacks {script} {one.name}"
        )
    for one in commands:
        text = one.get_help(click.Context(one, info_name=one.name))
        assert one.help and len(one.help) > 40
        if not isinstance(one, click.Group):
            assert "Example:" in text, f"{script} {one.name}: help shows no example"
            assert all(option.help for option in one.params if isinstance(option, click.Option)), (
                f"{script}: an option has no help"
            )


def test_every_option_of_extraction_is_documented():
    from aqa_cli.extract import main

    text = "".join(
        (ROOT / name).read_text() for name in ("README.md", "docs/extraction.md", "docs/annotations.md")
    )
    lacking = [
        name for option in main.params for name in option.opts if name.startswith("--") and name not in text
    ]
    assert not lacking


def test_every_package_is_installed():
    setuptools = PYPROJECT["tool"]["setuptools"]
    there = {
        ".".join([package, *path.parent.relative_to(folder).parts])
        for package, folder in PACKAGES.items()
        for path in folder.rglob("__init__.py")
    }
    assert set(setuptools["packages"]) == there
    for package, folder in PACKAGES.items():  # without it, type checkers do not look at what is annotated
        assert "py.typed" in setuptools["package-data"][package] and (folder / "py.typed").exists()


def test_the_readme_names_two_commands_and_files_that_exist():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert re.findall(r"^pip install \. && aqa-demo$", text, re.M)
    assert len(re.findall(r"^pip install .* && pytest.*$", text, re.M)) == 1


MARKDOWN = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks/RESULTS.md"]


@pytest.mark.parametrize("path", MARKDOWN, ids=str)
def test_links_lead_somewhere(path):
    for target, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", path.read_text()):
        page = path.parent / target if target else path
        assert page.exists(), f"{path.name} links to {target}, which is not there"
        if heading:
            assert heading in anchors(page.read_text()), f"{path.name} links to {target}#{heading}"


def anchors(text):
    """What GitHub makes of the headings."""
    for line in re.findall(r"^#+ (.*)$", text, re.M):
        yield re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-")


@pytest.mark.parametrize("path", MARKDOWN, ids=str)
def test_examples_import_what_there_is(path):
    for example in re.findall(r"^```python\n(.*?)^```", path.read_text(), re.M | re.S):
        for node in ast.walk(ast.parse(example)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in PACKAGES:
                module = importlib.import_module(node.module)
                lacking = [alias.name for alias in node.names if not hasattr(module, alias.name)]
                assert not lacking, f"{path.name} imports {lacking} from {node.module}"


def test_the_tree_of_files_is_true():
    """It has every folder of the packages that is a wing, each with what its `__init__` says first."""
    (tree,) = re.findall(r"^```\n(aqa_cache/.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)
    shown, parent = {}, ""
    for line in tree.splitlines():
        name, text = line.split(maxsplit=1)
        parent = parent if line.startswith(" ") else ""
        shown[parent + name.rstrip("/")] = text
        parent = parent or name
    wings = [path.parent for package in WINGS for path in PACKAGES[package].glob("*/__init__.py")]
    expected = {}
    for folder in [*PACKAGES.values(), *wings]:
        text = " ".join(ast.get_docstring(ast.parse((folder / "__init__.py").read_text())).split())
        expected[folder.relative_to(ROOT).as_posix()] = re.match(r".*?\.(?= |$)", text)[0]
    assert {name: text for name, text in shown.items() if name in expected} == expected
    others = shown.keys() - expected.keys()
    assert others == {"tests", "benchmarks", "docs"} and all((ROOT / name).is_dir() for name in others)


def test_contributing_takes_three_commands():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (commands,) = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    assert [line.split()[0] for line in commands.splitlines()] == ["pip", "ruff", "pytest"]


def prose(text):
    """Lines of Markdown that are neither code nor a table nor a heading, links and code left out."""
    in_code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code and not line.startswith(("    ", "|", "#")):
            yield number, line


@pytest.mark.parametrize("path", MARKDOWN, ids=str)
def test_prose_is_110_columns_wide(path):
    for number, line in prose(path.read_text()):
        fits = len(line) <= 110 or len(line.split()) == 1 or "](" in line or "`" in line
        assert fits, f"{path.name}:{number}: {len(line)} columns"
