"""The shape of the package, as a test: who may import whom, what starts quickly, how long a module may be.

Read with ARCHITECTURE.md. The rules apply to whatever modules exist; a new module falls under them by its place.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pytau_hpc"

# ------------------------------------------------------------------------------------------------------------ the rules

SCIENCE = ("data", "models", "inference", "analysis")
PLUMBING = ("ledger", "executors")
NOUNS = ("errors", "files", "yaml_strict", "plugins", "sweep")
DOORS = (
    "api",
    "changepoint_model",
    "changepoint_preprocess",
    "changepoint_io",
    "changepoint_analysis",
    "plotting",
    "utils",
)
FRONT = ("cli", "reports", "__main__", *DOORS)
# Every other module of the package is a verb.

#: A room may import these other rooms (and every noun).
ROOMS_BELOW = {
    "data": (),
    "models": (),
    "inference": ("models",),
    # Of a fit and of the recording behind it.
    "analysis": ("data", "models", "inference"),
    "ledger": (),
    "executors": (),
}

#: Every heavy or replaceable library has one home: files or folders (ending in /) relative to the package.
HOMES = {
    # InferenceData (0.x) and DataTree (1.x) are told apart in one place.
    "arviz": ("inference/arviz_compat.py",),
    "jax": ("inference/",),
    "jaxlib": ("inference/",),
    "pymc": ("models/", "inference/"),
    "pytensor": ("models/", "inference/"),
    # Recordings in, results out; nothing else opens HDF5.
    "h5py": ("data/", "inference/result_file.py"),
    "h5netcdf": ("inference/result_file.py",),
    "xarray": ("inference/", "analysis/"),
    "matplotlib": ("reports/",),
    # Tables for the user are made from the ledger; csv recordings are read by a reader.
    "pandas": ("ledger/", "reports/", "data/", "analysis/", "utils/"),
    "sqlite3": ("ledger/",),
    "submitit": ("executors/",),
    # What people write is read strictly; the manifest header is written and read by us alone.
    "yaml": ("yaml_strict.py", "sweep/manifest.py", "sweep/revision.py"),
    "typer": ("cli/",),
    "rich": ("cli/", "reports/"),
}

#: Nouns are plain data, checked by pydantic; what else one of them needs is said here.
LIBRARIES_OF_NOUNS = {
    "yaml_strict": ("yaml",),
    "sweep/manifest": ("pydantic", "yaml"),
    "sweep/revision": ("yaml",),
    "sweep/process": ("psutil",),  # which process is meant: boot id, pid and start time
}

#: What takes seconds to import. `--help`, `status`, `submit` and `resume` must answer without.
HEAVY = (
    "numpy",
    "pandas",
    "scipy",
    "pymc",
    "pytensor",
    "jax",
    "jaxlib",
    "h5py",
    "h5netcdf",
    "xarray",
    "matplotlib",
    "arviz",
)

#: Modules (and whole folders) that import without anything heavy.
LIGHT = (
    "__init__",
    *NOUNS,
    "choose",
    "retry",
    "pack",
    "measure",
    "known_use",
    "prepare",
    "submit",
    "persist",
    "cancel",
    "explain",
    "logs",
    "follow",
    "doctor",
    "profile_draft",
    "collect",
    "liveness",
    "worker",
    "run",
    "supervise",
    "preemption",
    "executors",
    "ledger/__init__",
    "ledger/ledger",
    "ledger/model_database",
    "register",
    "result_rows",
    "models/__init__",
    "inference/__init__",
    "data/__init__",
    "reports/status",
    "cli",
)

MAX_LINES = 400

#: Declared, used, and imported by nobody by name.
USED_WITHOUT_IMPORT = {
    "h5netcdf",  # the engine's name, given to xarray
}

# -------------------------------------------------------------------------------------------------------- the package


@dataclass(frozen=True)
class Import:
    """One import, wherever in the module it stands."""

    importer: str  #: module path below the package, e.g. ``inference/advi_jax``
    target: str  #: a module, e.g. ``pytau_hpc.models.kind`` or ``numpy``
    line: int
    for_types_only: bool  #: below ``if TYPE_CHECKING``: a coupling, but nothing is loaded

    def __str__(self) -> str:
        return f"{self.importer}.py:{self.line} imports {self.target}"


def modules() -> list[str]:
    """Every module as a path below the package, without the suffix."""
    found = sorted(PACKAGE.rglob("*.py"))
    return [str(path.relative_to(PACKAGE).with_suffix("")) for path in found]


def is_module(dotted: str) -> bool:
    path = ROOT / Path(*dotted.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@cache
def imports_of(module: str) -> tuple[Import, ...]:
    """The imports of a module: statements, and names of our modules in strings (lazy imports)."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    return tuple(
        Import(module, target, line, id(node) in for_types)
        for node in ast.walk(tree)
        for target, line in _targets(node, module)
    )


def _targets(node: ast.AST, module: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        parent = node.module or ""
        if node.level:
            package = ["pytau_hpc", *module.split("/")][: -node.level]
            parent = ".".join([*package, *filter(None, [node.module])])
        for alias in node.names:
            longer = f"{parent}.{alias.name}"
            yield (longer if is_module(longer) else parent), node.lineno
    elif isinstance(node, ast.Constant) and _names_a_module(node.value):
        yield node.value, node.lineno


def _names_a_module(text: object) -> bool:
    if not isinstance(text, str) or not re.fullmatch(r"pytau_hpc(\.\w+)+", text):
        return False
    return is_module(text)


def own_imports() -> Iterator[Import]:
    for module in modules():
        yield from (found for found in imports_of(module) if found.target.startswith("pytau_hpc."))


def room_of(module: str) -> str:
    """The first part of a module's path: its room, or the module itself where it stands alone."""
    return module.removeprefix("pytau_hpc.").replace(".", "/").split("/")[0]


def layer_of(room: str) -> int:
    if room in NOUNS:
        return 0
    if room in SCIENCE or room in PLUMBING:
        return 1
    return 3 if room in FRONT else 2


def is_at(module: str, place: str) -> bool:
    """Whether a module is the file, or lies in the folder, that a rule names."""
    return f"{module}.py" == place or (place.endswith("/") and module.startswith(place))


# -------------------------------------------------------------------------------------------------------------- layers


def test_imports_point_down():
    """Front → verbs → rooms → nouns; the package's own `__init__` is a door that may open anything."""
    upward = [
        str(found)
        for found in own_imports()
        if found.importer != "__init__"
        and layer_of(room_of(found.importer)) < layer_of(room_of(found.target))
    ]

    assert upward == []


def test_rooms_import_only_the_rooms_that_they_may():
    """Science knows no plumbing and plumbing no science; inference fits models, and that is all."""
    forbidden = [
        str(found)
        for found in own_imports()
        if room_of(found.importer) in ROOMS_BELOW
        and room_of(found.target) in ROOMS_BELOW
        and room_of(found.target)
        not in (room_of(found.importer), *ROOMS_BELOW[room_of(found.importer)])
    ]

    assert forbidden == []


def test_nobody_imports_the_command_line_or_a_door():
    """What a person calls is called by nobody else; doors may share what is behind them."""
    callers = [
        str(found)
        for found in own_imports()
        if room_of(found.importer) not in ("__main__", "__init__", room_of(found.target))
        and (
            room_of(found.target) == "cli"
            or (room_of(found.target) in DOORS and room_of(found.importer) not in DOORS)
        )
    ]

    assert callers == []


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_library_is_imported_only_at_home(library: str):
    """To replace or upgrade it is to change one place."""
    elsewhere = [
        str(found)
        for module in modules()
        for found in imports_of(module)
        if found.target.split(".")[0] == library
        and not found.for_types_only
        and not any(is_at(module, place) for place in HOMES[library])
    ]

    assert elsewhere == []


def test_nouns_need_hardly_any_library():
    """Whatever reads a sweep's files starts quickly, and runs anywhere."""
    foreign = [
        str(found)
        for module in modules()
        if room_of(module) in NOUNS
        for found in imports_of(module)
        if (library := found.target.split(".")[0]) not in sys.stdlib_module_names
        and library not in ("pytau_hpc", *LIBRARIES_OF_NOUNS.get(module, ("pydantic",)))
    ]

    assert foreign == []


# --------------------------------------------------------------------------------------------------------- lean starts


def is_light(module: str) -> bool:
    return any(module == light or module.startswith(f"{light}/") for light in LIGHT)


IMPORT_ONE_BY_ONE = """
import importlib, json, sys
guilty = {}
for name in json.loads(sys.argv[1]):
    before = set(sys.modules)
    importlib.import_module(name)
    heavy = sorted({new.split(".")[0] for new in set(sys.modules) - before} & set(json.loads(sys.argv[2])))
    if heavy:
        guilty[name] = heavy
print(json.dumps(guilty))
"""


def test_light_modules_import_nothing_heavy():
    """The registries and everything that submits, looks and resumes import without the science stack."""
    names = [
        ".".join(["pytau_hpc", *module.removesuffix("__init__").strip("/").split("/")]).strip(".")
        for module in modules()
        if is_light(module)
    ]

    guilty = json.loads(_python("-c", IMPORT_ONE_BY_ONE, json.dumps(names), json.dumps(HEAVY)))

    assert guilty == {}


RUN_AND_LOOK = """
import json, runpy, sys
report, heavy = sys.argv[1], json.loads(sys.argv[2])
sys.argv = ["pytau-hpc", *sys.argv[3:]]
code = 0
try:
    runpy.run_module("pytau_hpc", run_name="__main__")
except SystemExit as end:
    code = end.code or 0
loaded = sorted({name.split(".")[0] for name in sys.modules} & set(heavy))
json.dump({"code": code, "loaded": loaded}, open(report, "w"))
"""

SPEC = """\
name: lean
data: {format: synthetic, sessions: 1, tastes: 1, trials: 4, neurons: 3, n_states: 2, seed: 1}
grid:
  window_ms: [[0, 500]]
  bin_ms: [50]
  model: [single_taste_poisson]
  n_states: [2, 3]
"""

needs_command_line = pytest.mark.skipif(
    not (PACKAGE / "cli" / "__init__.py").exists(), reason="there is no command line yet"
)


@pytest.fixture(scope="module")
def planned_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lean")
    (folder / "lean.yaml").write_text(SPEC)
    _python("-m", "pytau_hpc", "plan", "lean.yaml", cwd=folder)
    return folder


@needs_command_line
@pytest.mark.usefixtures("fake_slurm")
@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["status", "sweeps/lean"],
        ["status", "sweeps/lean", "--json"],
        ["submit", "sweeps/lean", "--dry-run"],
        ["resume", "sweeps/lean", "--dry-run"],
        ["cancel", "sweeps/lean", "--dry-run"],
    ],
    ids=" ".join,
)
def test_a_quick_command_loads_nothing_heavy(words: list[str], planned_study: Path):
    """`--help`, `status`, `submit` and `resume` answer at once, on a login node with a slow file system too."""
    report = planned_study / "report.json"
    report.unlink(missing_ok=True)

    _python("-c", RUN_AND_LOOK, str(report), json.dumps(HEAVY), *words, cwd=planned_study)

    assert json.loads(report.read_text()) == {"code": 0, "loaded": []}


def _python(*words: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


# -------------------------------------------------------------------------------------------------- size, words, needs


def test_no_module_is_too_long_to_read():
    """A module is one room; what does not fit has two subjects."""
    lengths = {
        module: len((PACKAGE / f"{module}.py").read_text(encoding="utf-8").splitlines())
        for module in modules()
    }

    assert {module: n for module, n in lengths.items() if n > MAX_LINES} == {}


#: In pieces, since this file is read too.
FORBIDDEN = {
    "a package registry's host": "|".join(
        [r"pypi\." + "org", "python" + "hosted", "registry\\." + "npmjs", r"deb\." + "debian"]
    ),
    "a folder of one particular machine": "|".join(
        [
            r"(?<![\w.~}])/wo" + r"rk/",
            "/tmp/" + r"(v31\d|ci31\d|brief|pytau/)",
            "/root/" + r"\.",
            "/home/" + "[a-z]",
        ]
    ),
}


@pytest.mark.parametrize("what", sorted(FORBIDDEN))
def test_no_file_names(what: str):
    """The project runs on machines that it has never seen."""
    pattern = re.compile(FORBIDDEN[what])
    places = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in project_files()
        for number, line in enumerate(_lines(path), start=1)
        if pattern.search(line)
    ]

    assert places == []


def test_every_link_between_pages_leads_somewhere():
    """A page that moved takes its links along."""
    broken = [
        f"{page.relative_to(ROOT)} → {target}"
        for page in project_files()
        if page.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists()
    ]

    assert broken == []


def project_files() -> list[Path]:
    """What is, or would be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0:
        names = filter(None, listed.stdout.split("\0"))
        return sorted(path for name in names if (path := ROOT / name).is_file())
    # An unpacked archive: no git to ask.
    return sorted(path for path in ROOT.rglob("*.*") if path.is_file() and ".git" not in path.parts)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    requirements = [
        *project["dependencies"],
        *(line for extra in extras for line in optional[extra]),
    ]
    return {_canonical(re.match(r"[\w.-]+", line)[0]) for line in requirements}


def imported_distributions() -> dict[str, list[str]]:
    """Distribution → where its modules are imported in the package."""
    owners = packages_distributions()
    found: dict[str, list[str]] = {}
    for module in modules():
        for each in imports_of(module):
            top = each.target.split(".")[0]
            if top == "pytau_hpc" or top in sys.stdlib_module_names:
                continue
            [name, *_] = owners.get(top, [top])
            found.setdefault(_canonical(name), []).append(str(each))
    return found


def test_every_library_that_is_imported_is_declared():
    """`pip install` brings what the package imports; nothing works by luck."""
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    known = declared(*(extra for extra in optional if extra not in ("test", "dev")))

    undeclared = {
        name: places for name, places in imported_distributions().items() if name not in known
    }

    assert undeclared == {}


@needs_command_line
def test_every_library_that_is_declared_is_imported():
    """Nothing is installed for nobody."""
    assert declared() - set(imported_distributions()) - USED_WITHOUT_IMPORT == set()
