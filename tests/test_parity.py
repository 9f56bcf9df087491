"""
C{docs/node-parity.md}: the table that says, line by line, what there is here of Node's module, and which tests show it.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from twisted.trial.unittest import SynchronousTestCase

import txh2session
from txh2session import snapshots, web
from txh2session.testing import connectedSessions

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
PAGE = (ROOT / "docs" / "node-parity.md").read_text(encoding="utf-8")

SECTIONS = (12, 14, 10, 9, 12, 6, 7, 23, 13, 14, 67, 20, 8, 34, 24, 11, 19, 6, 13)
"""How many lines each section has."""
MARKS = {"M": 226, "S": 73, "X": 23}
"""How many lines have each mark."""
DONE = "done"
STATES = (DONE, "no test yet", "not yet", "declined")
TEST = re.compile(r"(?:peers\.)?test_\w+\.\w+\.test_\w+")


class Row(NamedTuple):
    """
    One line of Node's module.

    @ivar state: one of C{STATES}.
    @ivar shown: the last cell, without its state.
    """

    number: str
    item: str
    mark: str
    here: str
    state: str
    shown: str

    @property
    def tests(self) -> list[str]:
        """
        The tests named in the last cell.
        """
        return [code for code in _code(self.shown) if TEST.fullmatch(code)]

    @property
    def words(self) -> str:
        """
        What the last cell says besides naming tests.
        """
        return re.sub(r"`[^`]*`", "", self.shown).strip(" ,;:.")

    @property
    def names(self) -> list[str]:
        """
        The code in the last two cells that is no test.
        """
        return [code for code in _code(self.here + self.shown) if not TEST.fullmatch(code)]


def _code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def readRows(page: str) -> list[Row]:
    """
    Read the rows of all sections, in the order of the page.

    @raise ValueError: for a row that has more or fewer cells than it should.
    """
    rows: list[Row] = []
    for line in page.splitlines():
        if re.match(r"\|\s*\d+\.\d+", line):
            cells = _cells(line)
            if len(cells) != 5:
                raise ValueError(f"{len(cells)} cells instead of 5: {line}")
            number, item, mark, here, shown = cells
            begins = re.match(r"\*\*([^*]+)\*\*: ", shown)
            state = DONE if begins is None else begins[1]
            rows.append(Row(number, item, mark, here, state, shown if begins is None else shown[begins.end() :]))
    return rows


def readCounts(page: str) -> dict[str, list[int]]:
    """
    Read the table of counts at the top of the page: for each state how many M, S, X and all.
    """
    top = page.partition("\n## ")[0]
    lines = [_cells(line) for line in top.splitlines() if line.startswith("| ") and not line.startswith("| |")]
    return {cells[0]: [int(cell) for cell in cells[1:]] for cells in lines}


class _Module:
    """
    The classes of a module of tests and their tests, as its source tells.
    """

    def __init__(self, name: str) -> None:
        tree = ast.parse(TESTS.joinpath(*name.split(".")).with_suffix(".py").read_text(encoding="utf-8"))
        self._classes = {each.name: each for each in tree.body if isinstance(each, ast.ClassDef)}
        self._bases = {
            name: [base.id for base in each.bases if isinstance(base, ast.Name)] for name, each in self._classes.items()
        }

    def has(self, className: str, test: str) -> bool:
        """
        Find a test in a class or in what it inherits from of the same module.
        """
        found = self._classes.get(className)
        if found is None:
            return False
        if any(isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) and each.name == test for each in found.body):
            return True
        return any(self.has(base, test) for base in self._bases[className])

    def runs(self, className: str) -> bool:
        """
        Find out whether trial runs a class: it, or one that inherits from it, has a base from elsewhere whose name says
        that it is a case of tests.
        """
        lines = [className, *(name for name, bases in self._bases.items() if className in bases)]
        return any(self._isCase(name) for name in lines)

    def _isCase(self, className: str) -> bool:
        return any(
            self._isCase(base) if base in self._classes else base.endswith("Case") for base in self._bases[className]
        )


class ReaderTests(SynchronousTestCase):
    """
    What reads the page.
    """

    page = (
        "# Title\n\n| | M | S | X | all |\n|---|---|---|---|---|\n| done | 1 | 0 | 0 | 1 |\n\n## 1. First\n\n"
        "| # | Node | mark | here | shown by |\n|---|---|---|---|---|\n"
        "| 1.1 | one | M | `Server` | `test_a.B.test_c`, `peers.test_a.B.test_c` |\n"
        "| 1.2 | two | S | nothing | **declined**: because: `test_a.B.test_c` and `session.close` |\n"
    )

    def test_rows(self) -> None:
        """
        A row is its cells, with the state taken from the last of them.
        """
        one, two = readRows(self.page)
        self.assertEqual((one.number, one.item, one.mark, one.state), ("1.1", "one", "M", "done"))
        self.assertEqual((one.tests, one.words), (["test_a.B.test_c", "peers.test_a.B.test_c"], ""))
        self.assertEqual(one.names, ["Server"])
        self.assertEqual((two.state, two.tests, two.names), ("declined", ["test_a.B.test_c"], ["session.close"]))
        self.assertEqual(two.words, "because:  and")
        self.assertRaises(ValueError, readRows, "| 1.1 | a | b |")

    def test_counts(self) -> None:
        """
        The counts are above the first section.
        """
        self.assertEqual(readCounts(self.page), {"done": [1, 0, 0, 1]})

    def test_tests(self) -> None:
        """
        A test is found in its class or in a base of it, and only where trial runs the class.
        """
        module = _Module("test_session")
        for found, where in (
            (True, ("BothRoles", "test_destroy")),
            (True, ("ClientLifeTests", "test_destroy")),
            (False, ("GoAwayTests", "test_destroy")),
            (False, ("BothRoles", "test_nothing")),
            (False, ("Nobody", "test_destroy")),
        ):
            self.assertIs(module.has(*where), found, where)
        self.assertTrue(module.runs("BothRoles"))
        self.assertFalse(_Module("test_stream").runs("Sink"))
        peers = _Module("peers.test_node_client")
        self.assertTrue(peers.has("NodeClientInClearTests", "test_get"))
        self.assertTrue(peers.runs("NodeClientTests"))


class ParityTests(SynchronousTestCase):
    """
    The page itself.
    """

    rows = readRows(PAGE)

    def test_numbers(self) -> None:
        """
        Every number is there, once, and in its place.
        """
        expected = [f"{section}.{line}" for section, lines in enumerate(SECTIONS, 1) for line in range(1, lines + 1)]
        self.assertEqual(len(expected), 322)
        found = [row.number for row in self.rows]
        self.assertEqual([number for number in expected if number not in found], [], "missing")
        self.assertEqual([number for number, times in Counter(found).items() if times > 1], [], "more than once")
        self.assertEqual([number for number in found if number not in expected], [], "unknown")
        self.assertEqual(found, expected, "out of order")

    def test_sections(self) -> None:
        """
        Every row stands in its section.
        """
        for section in PAGE.split("\n## ")[1:]:
            number = section.partition(".")[0]
            self.assertEqual({row.number.partition(".")[0] for row in readRows(section)}, {number})

    def test_marks(self) -> None:
        """
        Every row has a mark, and there are as many of each as Node's module has.
        """
        self.assertEqual(Counter(row.mark for row in self.rows), MARKS)

    def test_states(self) -> None:
        """
        A row names tests or says why it does not; one that is done says nothing more, and nothing marked M is declined.
        """
        for row in self.rows:
            self.assertIn(row.state, STATES, row.number)
            self.assertTrue(row.item and row.here, row.number)
            if row.state == DONE:
                self.assertTrue(row.tests, f"{row.number} names no test and is neither declined nor not yet there")
                self.assertEqual(re.sub(r"`[^`]*`", "", row.shown).strip(", "), "", row.number)
            else:
                self.assertGreater(len(row.words), 6, f"{row.number} gives no reason")
            if row.state == "declined":
                self.assertIn(row.mark, ("S", "X"), f"{row.number} may not be declined")

    def test_counts(self) -> None:
        """
        The counts at the top are those of the rows.
        """
        counted = Counter((row.state, row.mark) for row in self.rows)
        expected = {}
        for state in STATES:
            each = [counted[state, mark] for mark in MARKS]
            expected[state] = [*each, sum(each)]
        expected["all"] = [*MARKS.values(), sum(MARKS.values())]
        self.assertEqual(readCounts(PAGE), expected)

    def test_tests(self) -> None:
        """
        Every test that is named exists, in a class that trial runs, and none is named twice in a row.
        """
        modules: dict[str, _Module] = {}
        for row in self.rows:
            self.assertEqual([name for name, times in Counter(row.tests).items() if times > 1], [], row.number)
            for name in row.tests:
                module, className, test = name.rsplit(".", 2)
                if module not in modules:
                    self.assertTrue(TESTS.joinpath(*module.split(".")).with_suffix(".py").exists(), name)
                    modules[module] = _Module(module)
                self.assertTrue(modules[module].has(className, test), f"{row.number}: there is no {name}")
                self.assertTrue(modules[module].runs(className), f"{row.number}: nothing runs {name}")

    def test_looksLikeATest(self) -> None:
        """
        What begins as the name of a test is one, so that a misspelled one is not taken for something else.
        """
        for row in self.rows:
            self.assertEqual([code for code in row.names if "test_" in code], [], row.number)


class NameTests(SynchronousTestCase):
    """
    The names of this package that the page uses.
    """

    def setUp(self) -> None:
        """
        Make one of everything the page speaks of.
        """
        streams: list[txh2session.ServerStream] = []
        sessions = connectedSessions(lambda stream, headers: streams.append(stream))
        requested = sessions.client.request({":method": "POST"})
        sessions.pump()
        self.owners: dict[str, list[Any]] = {
            "session": [sessions.client, sessions.serverSession],
            "stream": [requested, streams[0]],
            "server": [sessions.server],
            "headers": [streams[0].headers],
        }
        for module in (txh2session, snapshots, web):
            for name, value in vars(module).items():
                if not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)):
                    self.owners.setdefault(name, [value])
        self.addCleanup(sessions.client.destroy)

    def find(self, node: ast.expr) -> list[Any]:
        """
        Find what a name stands for.

        @return: one of these it is.

        @raise LookupError: if there is no such thing.
        """
        if isinstance(node, ast.Name):
            return self.owners[node.id]
        if not isinstance(node, ast.Attribute):
            raise LookupError(f"neither a name nor one of something: {ast.unparse(node)}")
        found = []
        for owner in self.find(node.value):
            if hasattr(owner, node.attr):
                found.append(getattr(owner, node.attr))
            elif node.attr in getattr(owner, "__dataclass_fields__", ()):
                found.append(None)  # a field whose default is made anew is no attribute of its class
        if not found:
            raise LookupError(f"there is no {ast.unparse(node)}")
        return found

    def check(self, code: str) -> None:
        """
        Check a name, and if it is called the names of its arguments.

        @raise LookupError: if one does not exist.
        """
        node = ast.parse(code, mode="eval").body
        if not isinstance(node, ast.Call):
            self.find(node)
            return
        signature = inspect.signature(self.find(node.func)[0])
        names = {str(keyword.arg) for keyword in node.keywords}
        if any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values()):
            known = {each.name for each in fields(txh2session.Settings)}
        else:
            known = set(signature.parameters)
        if names - known:
            raise LookupError(f"{code}: there is no argument {names - known}")

    def test_check(self) -> None:
        """
        Names and arguments that exist are taken, others are refused.
        """
        for good in (
            "session.close",
            "Server(None, http1=...)",
            "Limits.resets",
            "session.destroy(code=...)",
            "Headers",
        ):
            self.check(good)
        for bad in ("session.shut", "Server(None, nothing=...)", "Limits.nothing", "nobody", "nobody.close", "5"):
            self.assertRaises(LookupError, self.check, bad)

    def test_names(self) -> None:
        """
        Whatever the page says there is here exists, down to the names of arguments.
        """
        checked = 0
        for row in readRows(PAGE):
            for code in row.names:
                try:
                    self.check(code)
                except (LookupError, SyntaxError) as error:
                    self.fail(f"{row.number}: {code}: {error!r}")
                checked += 1
        self.assertGreater(checked, 250)
