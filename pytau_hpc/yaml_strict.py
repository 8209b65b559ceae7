"""YAML without its traps, and with the place of every value.

YAML 1.1 reads ``off`` as false, ``4:00:00`` as 14400, ``201006_095803`` as an integer, ``0123`` as octal and
``1e-3`` as text. Here a plain word is a number only if it looks like one to everybody, a truth value only as ``true``
or ``false``, nothing only as ``null`` (or nothing at all), and text otherwise. What makes a file hard to read or
dangerous to load (duplicate keys, anchors and aliases, tags, several documents, tabs) is a problem with a place.

Problems are collected, not raised: whoever checks what the document means (`sweep.spec`, `executors.profile`) adds its
own and reports all of them at once. Values are built from the parser's events, without recursion and without
PyYAML's constructors.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pytau_hpc.errors import Problem, UserError
from pytau_hpc.sweep.document import LINE_BREAK, Address, Document, Place, problem_at

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 20
MAX_DIGITS = 40

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z", re.ASCII)
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?\Z", re.ASCII)
_TAB_INDENT = re.compile(r" *\t\s*\S")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "": None}


def load(path: Path) -> Document:
    """Read and parse a file.

    Raises
    ------
    UserError : there is no such file, or it cannot be read
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    return parse(content, file=str(path))


def parse(content: str | bytes, *, file: str) -> Document:
    """Parse the text (UTF-8) of a file; never raises for what is in it."""
    text, problem = _decoded(content, file)
    if problem is not None:
        return Document(
            file=file,
            text=text,
            value=None,
            keys={},
            values={},
            problems=(problem,),
            complete=False,
        )
    builder = _Builder(file, text)
    builder.run()
    return Document(
        file=file,
        text=text,
        value=builder.value,
        keys=builder.keys,
        values=builder.values,
        problems=tuple(builder.problems),
        complete=builder.complete,
    )


def value_of(text: str) -> Any:
    """The value of a text that is a word, quoted text, a [list] or a {mapping} from end to end; else the text itself.

    Comments, block lists and the like are for files: in a cell of a table, `NaCl #2` and `- 5` are what they say.
    """
    document = parse(text, file="")
    if document.problems:
        return text
    first: Any = None
    last: Any = None
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, (yaml.NodeEvent, yaml.CollectionEndEvent)):
            first, last = first or event, event
    if first is None:
        return text
    if isinstance(first, yaml.ScalarEvent):
        whole = first.value == text if first.style is None else first.style in "'\""
    else:
        whole = isinstance(first, yaml.CollectionStartEvent) and bool(first.flow_style)
    spans = (first.start_mark.index, last.end_mark.index) == (0, len(text))
    return document.value if whole and spans else text


def _decoded(content: str | bytes, file: str) -> tuple[str, Problem | None]:
    if len(content) > MAX_BYTES:
        return "", Problem(
            message=f"the file is larger than {MAX_BYTES // 1024**2} MiB",
            file=file,
            help="put long lists of rows into a CSV file and name it under `include`",
        )
    if isinstance(content, bytes):
        try:
            content = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            message = f"the file is not UTF-8 text (byte {error.object[error.start]:#04x})"
            return "", Problem(message=message, file=file, line=line, help="save it as UTF-8")
    return content.removeprefix("\ufeff"), None


@dataclass
class _Open:
    """A list or mapping whose end has not been read yet."""

    address: Address
    value: Any
    start: Any
    flow: bool
    key: str | None = None  #: the key whose value comes next (mappings)
    skipping: bool = False  #: a key that cannot be used was read; its value is read and thrown away
    firsts: dict[str, Place] = field(default_factory=dict)


class _Builder:
    """Turns parser events into values and places; goes on after whatever can be gone on after."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text = file, text
        self.value: Any = None
        self.keys: dict[Address, Place] = {}
        self.values: dict[Address, Place] = {}
        self.problems: list[Problem] = []
        self.complete = True
        self._stack: list[_Open] = []
        self._documents = 0

    def run(self) -> None:
        try:
            for event in yaml.parse(self.text, Loader=yaml.SafeLoader):
                if not self._take(event):
                    self._cut_short()
                    return
        except yaml.MarkedYAMLError as error:
            self._syntax_error(error)
        except yaml.reader.ReaderError as error:
            place = _place_of_offset(self.text, error.position)
            self._note(
                place,
                f"character {chr(error.character)!r} is not allowed in YAML",
                help="delete it",
            )
            self._cut_short()

    def _take(self, event: Any) -> bool:
        """Use one event; False where nothing after it can be understood."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._note(
                    _place(event),
                    "a second document starts here",
                    help="keep one document in the file",
                )
                return False
        elif isinstance(event, yaml.AliasEvent):
            self._note(
                _place(event),
                f"the alias *{event.anchor} is not allowed",
                help="write the value out",
            )
            self._put(None, event, usable=False)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            return self._open(event)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._close(event)
        return True

    def _scalar(self, event: Any) -> None:
        self._refuse_decoration(event)
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self._key(top, event)
            return
        plain = event.style is None
        self._put(self._plain_value(event) if plain else event.value, event)

    def _plain_value(self, event: Any) -> Any:
        word: str = event.value
        if word in _WORDS:
            return _WORDS[word]
        if not _FLOAT.match(word):
            return word
        if len(word) > MAX_DIGITS:
            self._note(
                _place(event),
                f"the number has more than {MAX_DIGITS} characters",
                help="quote it if it is text",
            )
            return word
        if _INTEGER.match(word):
            return int(word)
        number = float(word)
        if math.isinf(number):
            self._note(_place(event), f"the number {word} is too large")
            return word
        return number

    def _key(self, top: _Open, event: Any) -> None:
        name: str = event.value
        place = _place(event)
        top.key = name
        top.skipping = True
        if name == "<<" and event.style is None:
            self._note(place, "merge keys (`<<`) are not allowed", help="write the values out")
        elif name in top.firsts:
            first = top.firsts[name].line
            self._note(
                place,
                f"duplicate key `{name}`: it stands on line {first} already",
                help="keep one of the two",
            )
        else:
            top.firsts[name] = place
            top.skipping = False
            self.keys[(*top.address, name)] = place

    def _open(self, event: Any) -> bool:
        self._refuse_decoration(event)
        if len(self._stack) >= MAX_DEPTH:
            self._note(_place(event), f"lists and mappings are nested more than {MAX_DEPTH} deep")
            return False
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self._note(_place(event), "a key must be a single word, not a list or a mapping")
            top.key, top.skipping = "", True
            # Read the key as if it were a value that is thrown away, then its value in the same way.
            self._stack.append(
                _Open(self._address(top), [], event, bool(event.flow_style), skipping=True)
            )
            return True
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        address = self._address(top)
        self._stack.append(_Open(address, value, event, bool(event.flow_style)))
        return True

    def _close(self, event: Any) -> None:
        closed = self._stack.pop()
        if closed.skipping and closed.key is None and isinstance(closed.value, list):
            return  # a key that was a list: its mapping still waits for the value
        self._put(
            closed.value, closed.start, end=event if closed.flow else None, address=closed.address
        )

    def _address(self, top: _Open | None) -> Address:
        if top is None:
            return ()
        return (*top.address, len(top.value) if isinstance(top.value, list) else top.key or "")

    def _put(
        self,
        value: Any,
        event: Any,
        *,
        end: Any = None,
        address: Address | None = None,
        usable: bool = True,
    ) -> None:
        """Store a finished value where it belongs."""
        top = self._stack[-1] if self._stack else None
        if top is None:
            self.value = value
            self.values[()] = _place(event, end)
            return
        skipping = any(part.skipping for part in self._stack)
        where = self._address(top) if address is None else address
        if isinstance(top.value, dict):
            name, top.key = top.key, None
            top.skipping = False
            if not skipping and usable and name is not None:
                top.value[name] = value
        elif not skipping and usable:
            top.value.append(value)
        if not skipping and usable:
            self.values[where] = _place(event, end)

    def _refuse_decoration(self, event: Any) -> None:
        if event.anchor is not None:
            self._note(
                _place(event),
                f"the anchor &{event.anchor} is not allowed",
                help="write the value out",
            )
        if event.tag is not None:
            self._note(
                _place(event),
                f"the tag {event.tag} is not allowed",
                help="delete it; quote text that needs it",
            )

    def _syntax_error(self, error: yaml.MarkedYAMLError) -> None:
        # "could not find expected ':'" is noticed on the next line; its context is the key itself.
        forgotten_colon = (
            error.context_mark if "could not find expected ':'" in (error.problem or "") else None
        )
        mark = forgotten_colon or error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        tabs = [
            Place(number, line.index("\t") + 1)
            for number, line in enumerate(LINE_BREAK.split(self.text), start=1)
            if _TAB_INDENT.match(line)
        ]
        # PyYAML says "found character '\t' that cannot start any token", or complains about the line after.
        for tab in tabs:
            self._note(tab, "a tab in the indentation", help="indent with spaces")
        if not tabs:
            message, help = _plain_words(error)
            self._note(place, message, help=help)
        self._cut_short(at_line=place.line)

    def _cut_short(self, at_line: int | None = None) -> None:
        """Keep the top-level entries that were read whole, but not the one that the error may belong to."""
        self.complete = False
        if self._stack:
            bottom = self._stack[0].value
            self.value = bottom if isinstance(bottom, dict) else None
            if self.value and at_line is not None:
                last = next(reversed(self.value))
                if at_line - self.keys[(last,)].line <= 1:
                    del self.value[last]
            self.values.setdefault((), Place(1, 1))

    def _note(self, place: Place, message: str, *, help: str | None = None) -> None:
        address = self._address(self._stack[-1]) if self._stack else ()
        self.problems.append(
            problem_at(self.file, self.text, place, message, help=help, address=address)
        )


def _place(event: Any, end: Any = None) -> Place:
    start = event.start_mark
    # A block value ends on a later line; underline its first line.
    stop = (end or event).end_mark
    width = stop.column - start.column if stop.line == start.line else 1_000_000
    if end is None and isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
        width = 1_000_000
    return Place(start.line + 1, start.column + 1, max(1, width))


def _place_of_offset(text: str, offset: int) -> Place:
    lines = LINE_BREAK.split(text[:offset])
    return Place(len(lines), len(lines[-1]) + 1)


def _plain_words(error: yaml.MarkedYAMLError) -> tuple[str, str | None]:
    """PyYAML's message in words that say what to change."""
    problem = error.problem or "this is not YAML"
    if "mapping values are not allowed" in problem:
        return (
            "a colon where none may stand",
            "quote text that contains `: `, or check the indentation",
        )
    if "could not find expected ':'" in problem:
        return "a key without a colon", "write `key: value`"
    if "found character" in problem and "cannot start" in problem:
        return f"{problem}", "quote the text"
    if "but found '<stream end>'" in problem or "found unexpected end of stream" in problem:
        opened = f" (opened on line {error.context_mark.line + 1})" if error.context_mark else ""
        return (
            f"the file ends inside a list, a mapping or a quoted text{opened}",
            "close the bracket or the quote",
        )
    if (
        error.context in ("while parsing a flow sequence", "while parsing a flow mapping")
        and error.context_mark
    ):
        kind, bracket = ("list", "]") if error.context.endswith("sequence") else ("mapping", "}")
        line = error.context_mark.line + 1
        return (
            f"the {kind} that begins on line {line} is not closed before this",
            f"close it with `{bracket}`",
        )
    if "expected <block end>" in problem:
        return "the indentation does not fit what stands above", "align keys of one level"
    return f"not valid YAML: {problem}", None
