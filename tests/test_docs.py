"""What the documentation shows is accepted, and what it lists is complete.

Every YAML block says in its first line what it is (``# spec`` or ``# profile``; a block of the README that begins with
``name:`` is a spec) and goes through the same checks as a user's file. The data that it names need not exist.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytau_hpc.cli.app import COMMANDS
from pytau_hpc.data import READERS, TRANSFORMS
from pytau_hpc.errors import SpecInvalid
from pytau_hpc.executors.profile import read_profile
from pytau_hpc.executors.profile_fields import Limits, ProfileFile, RetryDefaults, Slurm
from pytau_hpc.inference import METHODS
from pytau_hpc.ledger import frames
from pytau_hpc.ledger.ledger import Ledger
from pytau_hpc.models import MODELS
from pytau_hpc.plan import KNOWN
from pytau_hpc.retry import RULES
from pytau_hpc.sweep.axes import AXES
from pytau_hpc.sweep.resources import BUILT_IN_RETRY
from pytau_hpc.sweep.spec import (
    DataPart,
    FitPart,
    ResourcesPart,
    RetryPart,
    SessionEntry,
    SpecFile,
    checked_spec,
)
from pytau_hpc.sweep.state import Kind, State
from pytau_hpc.yaml_strict import parse

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block: its page, the line on which its text begins, and the text without indentation."""

    page: str
    line: int
    text: str

    @property
    def kind(self) -> str | None:
        first = self.text.splitlines()[0]
        if self.page == "README.md" and first.startswith("name:"):
            return "spec"
        found = re.match(r"# (spec|profile)\b", first)
        return found[1] if found else None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(language: str) -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in _FENCE.finditer(text):
            if found[2] == language:
                line = text.count("\n", 0, found.start(3)) + 1
                name = page.relative_to(ROOT).as_posix()
                yield Block(name, line, textwrap.dedent(found[3]))


YAML = list(blocks("yaml"))
SPECS = [block for block in YAML if block.kind == "spec"]
PROFILES = [block for block in YAML if block.kind == "profile"]


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def missing(names: Any, text: str) -> list[str]:
    """Names that do not stand in the text as code, alone or as the last part of a longer name."""
    return [name for name in names if not re.search(rf"`([\w.]+\.)?{re.escape(name)}[`:]", text)]


def test_every_yaml_block_says_what_it_is():
    """Else it would be shown without being checked."""
    assert [str(block) for block in YAML if block.kind is None] == []
    assert len(SPECS) >= 4
    assert any(block.page == "README.md" for block in SPECS)
    assert PROFILES


@pytest.mark.parametrize("block", SPECS, ids=str)
def test_specs_in_the_documentation_are_valid(block):
    """Everything that can be checked without the data."""
    spec = checked_spec(parse(block.text, file=str(block)), KNOWN, base=ROOT)

    assert spec.axes["model"]


def test_a_wrong_spec_would_be_noticed():
    """The README's spec with a misspelt key."""
    text = next(block.text for block in SPECS if block.page == "README.md")

    with pytest.raises(SpecInvalid):
        checked_spec(parse(text.replace("n_states", "n_state"), file="README.md"), KNOWN, base=ROOT)


@pytest.mark.parametrize("block", PROFILES, ids=str)
def test_profiles_in_the_documentation_are_valid(block, tmp_path):
    """As a file in jobs/ would be read."""
    path = tmp_path / "cluster.yaml"
    path.write_text(block.text, encoding="utf-8")

    assert read_profile(path).executor


@pytest.mark.parametrize("block", list(blocks("python")), ids=str)
def test_python_in_the_documentation_is_python(block):
    """It at least compiles."""
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_of_the_documentation_lead_somewhere(path):
    """Files that are there, and headings that stand in them."""
    for target in _LINK.findall(path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [_anchor(heading) for heading in headings], target


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_page_about_specs_names_every_key():
    """Of a spec, a profile, every data format and every method; and every transform and model."""
    text = page("docs/spec.md")
    parts = [SpecFile, DataPart, SessionEntry, FitPart, ResourcesPart, RetryPart]
    parts += [ProfileFile, Slurm, Limits, RetryDefaults]
    keys = {key for part in parts for key in part.model_fields}
    options = {key for reader in READERS.values() for key in reader.options}
    settings = {key for method in METHODS.values() for key in method.settings}
    options |= {key for model in MODELS.values() for key in model.options}
    named = {*AXES, *READERS, *TRANSFORMS, *MODELS, *METHODS}

    assert missing(sorted(keys | options | settings | named), text) == []


def test_the_page_about_specs_gives_the_defaults_of_methods():
    """In the row of each setting."""
    text = page("docs/spec.md")
    for name, default in METHODS["advi"].settings.items():
        row = re.search(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
        assert row, name
        assert f"| `{default}` |" in row[0], name


def test_the_reference_names_every_command_state_kind_and_column():
    """What a user can type, and what he can see."""
    text = page("docs/reference.md")
    attempts = re.findall(r"\b(?:a|l)\.(\w+)", frames._ATTEMPTS.split("FROM")[0])
    submissions = re.findall(r"(\w+)(?:,|$)", frames._SUBMISSIONS.split("FROM")[0].strip())
    tasks = frames.tasks(Ledger.in_memory()).columns
    columns = {*frames._POINT_COLUMNS, *attempts, *tasks, *submissions}

    assert missing(sorted({*State, *Kind, *columns}), text) == []
    assert [name for name in COMMANDS if not re.search(rf"^### .*\b{name}\b", text, re.M)] == []


def test_the_reference_gives_every_retry_rule():
    """Factors of memory and time, and whether there is another try at all."""
    text = page("docs/reference.md")
    for kind, rule in RULES.items():
        row = re.search(rf"^\| `{kind}` \|.*$", text, re.MULTILINE)
        assert row, kind
        factors = BUILT_IN_RETRY.mem_factor, BUILT_IN_RETRY.time_factor
        for factor, more, what in zip(
            factors, (rule.more_memory, rule.more_time), ("memory", "time"), strict=True
        ):
            assert (f"{factor:g} × the {what}" in row[0]) == more, kind
        assert ("not again" in row[0]) == (rule.budget.value == "none"), kind


def test_the_reference_names_every_environment_variable_of_ours():
    """Those that some module reads."""
    read = {
        name
        for path in (ROOT / "pytau_hpc").rglob("*.py")
        for name in re.findall(r"\bPYTAU_HPC_[A-Z_]+", path.read_text(encoding="utf-8"))
    }

    assert missing(sorted(read), page("docs/reference.md")) == []
