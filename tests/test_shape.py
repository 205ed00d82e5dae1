"""The rules of the house that no linter knows."""

import ast
import importlib
import itertools
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path
from tokenize import COMMENT

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gripproxy"

# A shell around sockets or processes proves itself by running: tests/wire does that.
RUN_IN_WIRE = (
    "front", "origin", "control", "cluster", "report", "app", "intake", "upstream", "worker",
    "single", "parent", "plan", "supervisor", "startup", "cli",
)  # fmt: skip

# Modules that state or start something and do nothing themselves.
NOTHING_TO_TEST = ("__init__", "__main__", "ports")

NAMES_THAT_SAY_NOTHING = (
    "base", "common", "data", "handler", "helper", "helpers", "info", "manager", "misc", "util",
    "utils",
)  # fmt: skip

# Spelled in halves, so that this file does not break its own rule.
MACHINE_PATHS = tuple("/" + name for name in ("work/", "root/", "farm/"))
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("npmjs", "com"),
        ("deb", "debian", "org"),
    )
)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def texts() -> Iterator[tuple[Path, str]]:
    """Every text file of the project: what git has, and what it would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def each_module(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=shown)


# The tree


def mirror(path: Path) -> Path:
    return ROOT / "tests" / path.relative_to(PACKAGE).with_name(f"test_{path.name}")


def is_tested_beside(path: Path) -> bool:
    top = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return top not in RUN_IN_WIRE and path.stem not in NOTHING_TO_TEST


@each_module([path for path in modules() if is_tested_beside(path)])
def test_a_module_has_its_tests_where_one_looks_for_them(path):
    assert mirror(path).is_file(), f"{shown(path)} wants {shown(mirror(path))}"


@each_module(modules())
def test_a_module_is_named_for_what_it_holds(path):
    assert path.stem not in NAMES_THAT_SAY_NOTHING


@each_module(modules())
def test_a_module_says_what_it_is(path):
    assert ast.get_docstring(tree(path))


@each_module([path for path in modules() if path.name == "__init__.py"])
def test_a_name_has_one_address(path):
    _, *rest = tree(path).body
    names = [ast.unparse(node).split(" = ")[0] for node in rest]
    assert names == (["__version__"] if path.parent == PACKAGE else [])


@each_module(modules())
def test_no_circle_is_hidden_from_the_interpreter(path):
    names = {node.id for node in ast.walk(tree(path)) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    assert "TYPE_CHECKING" not in names


# Tests


PURE_TESTS = sorted(
    path for layer in ("protocol", "engine") for path in (ROOT / "tests" / layer).rglob("*.py")
)
IMPURE = {"asyncio", "random", "socket", "threading", "time", "unittest", "uvloop"}


def imported(path: Path) -> set[str]:
    names = set[str]()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
    return names


@each_module(PURE_TESTS)
def test_the_tests_of_pure_layers_are_pure(path):
    assert not imported(path) & IMPURE


# Hot code


def comments(path: Path) -> Iterator[str]:
    """Give each block of comment lines as one text."""
    with path.open("rb") as file:
        tokens = [token for token in tokenize.tokenize(file.readline) if token.type == COMMENT]
    # Lines that follow each other differ from their place in the list by the same number.
    numbered = itertools.groupby(enumerate(tokens), lambda pair: pair[1].start[0] - pair[0])
    for _, block in numbered:
        yield " ".join(token.string.removeprefix("#").strip() for _, token in block)


@each_module(modules())
def test_hot_code_names_its_measurement(path):
    for comment in comments(path):
        if "hot:" in comment:
            cited = re.findall(r"bench/[\w./-]*\w", comment)
            assert cited, f"no file of bench/ in: {comment}"
            assert all((ROOT / name).is_file() for name in cited), f"no such file: {comment}"
            assert re.search(r"\d", comment.replace(cited[0], "")), f"no figure in: {comment}"


# What is printed from tables


@pytest.mark.parametrize(
    ("printed", "printer"),
    [
        ("config/gripproxy.conf", "print_default_conf"),
        ("docs/reference/options.md", "print_reference"),
    ],
)
def test_what_is_printed_from_the_options_is_up_to_date(printed, printer):
    text = getattr(importlib.import_module("gripproxy.config"), printer)()
    assert (ROOT / printed).read_text(encoding="utf-8") == text, "run: make docs"


# Words


def test_nothing_speaks_of_one_machine():
    pattern = re.compile("|".join(map(re.escape, MACHINE_PATHS)))
    found = [f"{shown(path)}: {text.group()}" for path, text in places(pattern)]
    assert not found


def test_nothing_names_the_host_of_a_registry():
    pattern = re.compile("|".join(map(re.escape, REGISTRY_HOSTS)))
    found = [f"{shown(path)}: {text.group()}" for path, text in places(pattern)]
    assert not found


def places(pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    for path, text in texts():
        for found in pattern.finditer(text):
            yield path, found


# Documents


PAGES = sorted(path for path, _ in texts() if path.suffix == ".md")


def prose(path: Path) -> str:
    """The text of a page without its code, where brackets are no links."""
    text = re.sub(r"(?ms)^( *)```.*?^\1```", "", path.read_text(encoding="utf-8"))
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, made as code hosts make them."""
    text = re.sub(r"(?ms)^```.*?^```", "", path.read_text(encoding="utf-8"))
    headings = re.findall(r"(?m)^#+ +(.*?) *$", text)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        page = (path.parent / name) if name else path
        assert page.exists(), f"{shown(path)}: {target}"
        if anchor:
            assert anchor in anchors(page), f"{shown(path)}: {target}"


@pytest.mark.parametrize("path", PAGES, ids=shown)
def test_files_that_documents_name_exist(path):
    named = re.findall(
        r"`((?:gripproxy|tests|examples|scripts|docs|bench)/[\w./-]*\w)`",
        path.read_text(encoding="utf-8"),
    )
    assert [name for name in named if not (ROOT / name).exists() and "build" not in name] == []


# Changes


def test_a_change_is_filed_under_a_heading_of_the_changelog():
    kinds = "added|changed|deprecated|removed|fixed|security"
    odd = [
        path.name
        for path in (ROOT / "changes").iterdir()
        if path.name != "README.md" and not re.fullmatch(rf"\+[\w-]+\.({kinds})\.md", path.name)
    ]
    assert odd == []
