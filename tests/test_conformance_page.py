"""
C{docs/conformance.md}: one row a rule, with what comes of it and the tests that show it.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.client import CLIENT
from tests.conformance.messages import CLIENT_MESSAGES, SERVER_MESSAGES
from tests.conformance.rows import Row
from tests.conformance.server import SERVER

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "conformance.md").read_text(encoding="utf-8")
TABLES = {"S": SERVER, "C": CLIENT, "SM": SERVER_MESSAGES, "CM": CLIENT_MESSAGES}
"""The tables of rows, by the letters that the page has for them."""
CLASSES = {"S": "ServerTests", "C": "ClientTests", "SM": "ServerMessageTests", "CM": "ClientMessageTests"}
BINDS = {"receiver", "client", "server", "sender", "both"}
REASON = re.compile(r"\*\*(not checked|by construction)\*\*: \w.{20,}")
"""What stands for a test where there is none."""


class Rule(NamedTuple):
    """
    A row of the page.

    @ivar rfc: the number.
    @ivar shown: the tests, as the page names them.
    """

    rfc: str
    section: str
    rule: str
    binds: str
    here: str
    shown: list[str]

    @property
    def place(self) -> str:
        """
        The section as the tables of rows spell it.
        """
        return self.section if self.rfc == "9113" else f"{self.rfc} {self.section}"


def readRules(page: str) -> list[Rule]:
    """
    Read the page.

    @raise ValueError: for a row that has more or fewer cells than it should.
    """
    rules = []
    rfc = ""
    for line in page.splitlines():
        heading = re.fullmatch(r"## RFC (\d+)", line)
        if heading:
            rfc = heading[1]
        elif rfc and line.startswith("| ") and not line.startswith("| §"):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if len(cells) != 5:
                raise ValueError(f"{len(cells)} cells instead of 5: {line}")
            rules.append(Rule(rfc, *cells[:4], re.findall(r"`([^`]+)`", cells[4])))
    return rules


def matching(shown: str) -> list[Row] | None:
    """
    Find the rows of the tables that a name stands for.

    @return: L{None} if it is the name of another test.
    """
    table, _, name = shown.partition(".")
    if table not in TABLES:
        return None
    return [row for row in TABLES[table] if fnmatchcase(row.name, name)]


class PageTests(SynchronousTestCase):
    """
    The page itself.
    """

    rules = readRules(PAGE)

    def test_reader(self) -> None:
        """
        Rows are read with the RFC they stand under, and bad ones are not passed over.
        """
        page = (
            "| 1 | not | a | row | yet |\n## RFC 7541\n| § | rule | binds | here | shown by |\n|---|---|---|---|---|\n"
        )
        (rule,) = readRules(page + "| 4.2 | Rule | both | obeyed | `a.B.test_c`, `S.d` |")
        self.assertEqual(rule, ("7541", "4.2", "Rule", "both", "obeyed", ["a.B.test_c", "S.d"]))
        self.assertEqual(rule.place, "7541 4.2")
        self.assertRaises(ValueError, readRules, page + "| 4.2 | Rule |")

    def test_enough(self) -> None:
        """
        No section that has rules for endpoints was forgotten.
        """
        places = {rule.place for rule in self.rules}
        for section in (
            *("3.4", "4.1", "4.2", "4.3", "5.1", "5.1.1", "5.1.2", "5.4.1", "5.4.2", "5.5"),
            *(f"6.{number}" for number in range(1, 11)),
            *("6.5.2", "6.5.3", "6.9.1", "6.9.2", "7", "8.1", "8.1.1", "8.2.1", "8.2.2", "8.2.3"),
            *("8.3", "8.3.1", "8.3.2", "8.4", "8.5", "8.6", "9.2", "9.2.1", "9.2.2"),
            *("7541 2.3.3", "7541 4.2", "7541 5.1", "7541 5.2", "7541 6.1", "7541 6.3", "8441 3", "8441 4"),
            *("9218 2.1", "9218 7.1", "8336 2.1", "7838 4"),
        ):
            self.assertIn(section, places)

    def test_order(self) -> None:
        """
        RFCs and sections are in order.
        """
        found = [(rule.rfc != "9113", rule.rfc, *map(int, rule.section.split("."))) for rule in self.rules]
        self.assertEqual(found, sorted(found))

    def test_shown(self) -> None:
        """
        Each rule has a test, or says why it has none.
        """
        for rule in self.rules:
            self.assertTrue(rule.rule and rule.here, rule)
            self.assertIn(rule.binds, BINDS, rule)
            if not rule.shown:
                self.assertTrue(REASON.match(rule.here), f"{rule.place}: {rule.rule} has neither test nor reason")

    def test_tests(self) -> None:
        """
        Every test that is named exists, and is one that trial runs.
        """
        for rule in self.rules:
            for shown in rule.shown:
                rows = matching(shown)
                if rows is not None:
                    self.assertTrue(rows, f"{rule.place}: there is no {shown}")
                    continue
                module, className, test = shown.rsplit(".", 2)
                case = getattr(import_module(f"tests.{module}"), className)
                self.assertTrue(test.startswith("test_") and callable(getattr(case, test, None)), shown)
                runs = issubclass(case, SynchronousTestCase) or any(
                    isinstance(each, type) and issubclass(each, case) and issubclass(each, SynchronousTestCase)
                    for each in vars(import_module(f"tests.{module}")).values()
                )
                self.assertTrue(runs, f"{rule.place}: nothing runs {shown}")

    def test_rowsAreTests(self) -> None:
        """
        Every row of the tables is a test.
        """
        module = import_module("tests.test_conformance")
        for table, rows in TABLES.items():
            for row in rows:
                self.assertTrue(hasattr(getattr(module, CLASSES[table]), f"test_{row.name}"), row.name)

    def test_outcomes(self) -> None:
        """
        What the page says comes of a rule is what the rows that it names expect.
        """
        for rule in self.rules:
            for shown in rule.shown:
                for row in matching(shown) or ():
                    if not (rule.binds == "both" and rule.here == "obeyed"):
                        self.assertEqual(rule.here, str(row.outcome), f"{rule.place}: {rule.rule}: {row.name}")

    def test_everyRow(self) -> None:
        """
        Every row of the tables is on the page, and those that are about a single rule under its section.
        """
        for table, rows in TABLES.items():
            for row in rows:
                places = {
                    rule.place
                    for rule in self.rules
                    for shown in rule.shown
                    if shown.startswith(f"{table}.") and fnmatchcase(row.name, shown.partition(".")[2])
                }
                self.assertTrue(places, f"{table}.{row.name} is not on the page")
                if table in ("S", "C"):
                    self.assertIn(row.section, places, f"{table}.{row.name}")
