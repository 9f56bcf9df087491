"""
Tests of how the project is put together: who may import whom, what is public, what a wheel holds, what C{docs/} says.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from subprocess import run
from typing import Any
from zipfile import ZipFile

from h2 import events
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import txh2session
from txh2session import Limits, Options, PaddingStrategy, Rate, Settings, Timeouts
from txh2session._multiplexer import EVENTS, IGNORED_EVENTS, Multiplexer

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "txh2session"

FLOORS = (
    ("words", {"constants", "errors", "settings", "_fields", "_messages", "headers", "_origins", "_states"}),
    ("policy", {"_limits", "_frames", "_outbound", "_priority", "_inbound", "_streams", "_credit", "_tuning"}),
    (
        "wire",
        {
            "_engine",
            "_outlet",
            "_streamrules",
            "_messagerules",
            "_rules",
            "_multiplexer",
            "framelog._facts",
            "framelog._view",
            "framelog._text",
        },
    ),
    (
        "objects",
        {
            *("_waiters", "_timer", "_telling", "_watch", "_questions", "_readers", "_producers", "_statistics"),
            *("_handover", "listeners", "snapshots", "_streamlife", "stream", "_sources", "files"),
            *("_life", "_told", "session"),
        },
    ),
    ("connection", {"framelog", "_turns", "protocol", "_certificates", "tls"}),
    ("roles", {"server", "serving", "client", "connecting"}),
    (
        "inside streams",
        {
            "_transport",
            "tunnel",
            "websocket._wsproto",
            "websocket._deflate",
            "websocket._framing",
            "websocket._websocket",
            "websocket",
            "twistedwebsocket",
        },
    ),
    (
        "many sessions",
        {
            "pool._coalescing",
            "pool._parking",
            "pool._pooled",
            "pool._origin",
            "pool._dialer",
            "pool._keeper",
            "pool",
            "proxies",
        },
    ),
    ("public names", {""}),
    (
        "on top",
        {
            *("web._channel", "web._upload", "web._requests", "web", "_roots", "_places"),
            *("testing._pipe", "testing._framespeaker", "testing._framepeer", "testing._wirepeer", "testing", "tap"),
            *("agent._bodies", "agent._response", "agent"),
            *("demo", "demo.facts", "demo.request", "demo.routes", "demo.sockets"),
        },
    ),
)
"""The floors, lowest first, as C{docs/design.md} draws them; C{""} is C{__init__.py}."""

ON_TOP = FLOORS[-1][1]
PUBLIC_MODULES = {"", "websocket"}
"""Where the public names are: what needs an extra has a module of its own."""
PRIVATE_USERS = {"testing._pipe", "testing._framespeaker", "testing._framepeer", "testing._wirepeer", "testing"}
"""What is on top and may import more than the public names: it stands in for what is below them."""

ENGINE_LIBRARIES = {
    "_multiplexer": {"h2", "hpack", "hyperframe"},
    "testing._framespeaker": {"hpack", "hyperframe"},
    "framelog._view": {"hpack"},
}
"""Who may import h2 and what it is made of.  C{_framespeaker} builds frames without h2, C{framelog._view} shows them."""


def sources() -> dict[str, Path]:
    """
    Find the package's modules, by their names below it.
    """
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SOURCES = sources()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}


def runTimeNodes(tree: ast.AST) -> Iterator[ast.AST]:
    """
    Walk a module without what stands under C{if TYPE_CHECKING}.
    """
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                yield other
                yield from runTimeNodes(other)
            continue
        yield child
        yield from runTimeNodes(child)


def imports(name: str) -> set[str]:
    """
    List the modules that a module of ours imports when it runs, functions included.
    """
    found = set()
    for node in runTimeNodes(TREES[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{name} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                isModule = whole.removeprefix("txh2session.") in SOURCES and whole.startswith("txh2session.")
                found.add(whole if isModule else node.module)
    return found


def ourImports(name: str) -> set[str]:
    """
    The same of this package only, without its name in front.
    """
    return {
        each.removeprefix("txh2session").removeprefix(".")
        for each in imports(name)
        if each.partition(".")[0] == "txh2session"
    }


def floorOf(name: str) -> int:
    """
    Find a module's floor.
    """
    for number, (_, names) in enumerate(FLOORS):
        if name in names:
            return number
    raise AssertionError(f"{name} has no floor: give it one in FLOORS, and in docs/design.md")


class FloorTests(SynchronousTestCase):
    """
    Imports go downwards only.
    """

    def test_everyModule(self) -> None:
        """
        Every module has a floor, and only one.
        """
        named = [name for _, names in FLOORS for name in names]
        self.assertEqual(sorted(named), sorted(SOURCES))

    def test_downwards(self) -> None:
        """
        No module imports one of a higher floor.
        """
        wrong = [
            f"{name} imports {other}"
            for name in SOURCES
            for other in ourImports(name)
            if floorOf(other) > floorOf(name)
        ]
        self.assertEqual(wrong, [])

    def test_noCycles(self) -> None:
        """
        No module needs itself to be imported, by any way round.
        """
        below: dict[str, set[str]] = {}

        def everythingBelow(name: str, above: tuple[str, ...]) -> set[str]:
            self.assertNotIn(name, above, " imports ".join((*above, name)))
            if name not in below:
                found = ourImports(name)
                below[name] = found.union(*(everythingBelow(other, (*above, name)) for other in found))
            return below[name]

        for name in SOURCES:
            everythingBelow(name, ())

    def test_publicNamesOnTop(self) -> None:
        """
        What is on top uses public names only, as any user of the package; nothing below imports it.
        """
        wrong = [
            f"{name} imports {other}"
            for name in ON_TOP - PRIVATE_USERS
            for other in ourImports(name)
            if other not in PUBLIC_MODULES and other not in ON_TOP
        ]
        self.assertEqual(wrong, [])

    def test_h2(self) -> None:
        """
        h2 and what it is made of are imported in one place.
        """
        for name in SOURCES:
            found = {each.partition(".")[0] for each in imports(name)} & {"h2", "hpack", "hyperframe"}
            self.assertEqual(found, ENGINE_LIBRARIES.get(name, set()), name)

    def test_seam(self) -> None:
        """
        The multiplexer is named in one place, so that another engine can stand in its.
        """
        self.assertEqual([name for name in SOURCES if "_multiplexer" in ourImports(name)], ["_told"])

    def test_withoutTwisted(self) -> None:
        """
        The floors up to the wire know nothing of Twisted.
        """
        for _, names in FLOORS[:3]:
            for name in names:
                found = {each for each in imports(name) if each.partition(".")[0] in ("twisted", "zope")}
                self.assertEqual(found, set(), name)

    def test_reactor(self) -> None:
        """
        Nobody but the C{twistd} plugin imports the reactor: everywhere else it is an argument.
        """
        users = [
            name
            for name, tree in TREES.items()
            for node in ast.walk(tree)
            if (isinstance(node, ast.ImportFrom) and "reactor" in {alias.name for alias in node.names})
            or (isinstance(node, ast.Import) and "twisted.internet.reactor" in {alias.name for alias in node.names})
        ]
        self.assertEqual([each for each in users if each != "tap"], [])

    def test_transport(self) -> None:
        """
        Of the core, only L{txh2session.protocol} does anything with a transport, until it hands one on.
        """

        def isTransport(node: ast.expr) -> bool:
            return (isinstance(node, ast.Name) and node.id == "transport") or (
                isinstance(node, ast.Attribute) and node.attr == "transport"
            )

        users = {
            name
            for name, tree in TREES.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isTransport(node.value)
        }
        self.assertEqual(users - ON_TOP, {"protocol", "tunnel", "pool._parking", "proxies"})


class SourceTests(SynchronousTestCase):
    """
    What every source file is held to.
    """

    def test_length(self) -> None:
        """
        No file has more than 800 lines.
        """
        lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in SOURCES.items()}
        self.assertEqual({name: length for name, length in lengths.items() if length > 800}, {})

    def test_moduleDocstrings(self) -> None:
        """
        Every module, test and example says what it is.
        """
        others = [path for folder in ("tests", "examples") for path in (ROOT / folder).rglob("*.py")]
        self.assertEqual([path.name for path in (*SOURCES.values(), *others) if not docstringOf(path)], [])


def docstringOf(path: Path) -> str | None:
    """
    Read a module's docstring.
    """
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


class ExportTests(SynchronousTestCase):
    """
    What C{from txh2session import *} gives.
    """

    def test_sorted(self) -> None:
        """
        C{__all__} is sorted and names each thing once.
        """
        self.assertEqual(txh2session.__all__, sorted(set(txh2session.__all__)))

    def test_exported(self) -> None:
        """
        Every public name exists, is made in this package and says what it is for.
        """
        for name in txh2session.__all__:
            value = getattr(txh2session, name)
            self.assertTrue(value.__module__.startswith("txh2session."), name)
            self.assertTrue(vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__, name)

    def test_nothingElse(self) -> None:
        """
        A name without an underscore that the package itself holds is public, or a module.
        """
        held = {name for name, value in vars(txh2session).items() if not inspect.ismodule(value)}
        self.assertEqual({name for name in held if not name.startswith("_")}, set(txh2session.__all__))

    def test_methods(self) -> None:
        """
        Every public method and property of a public class says what it does.
        """
        silent = [
            f"{owner.__qualname__}.{name}"
            for exported in txh2session.__all__
            if inspect.isclass(getattr(txh2session, exported))
            for owner in getattr(txh2session, exported).__mro__
            if owner.__module__.startswith("txh2session.")
            for name, member in vars(owner).items()
            if not name.startswith("_") and describable(member) and not inspect.getdoc(member)
        ]
        self.assertEqual(silent, [])

    def test_version(self) -> None:
        """
        The version is the same in C{pyproject.toml}.
        """
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        found = re.search(r'^version = "(.+)"$', text, flags=re.MULTILINE)
        assert found is not None
        self.assertEqual(found.group(1), txh2session.__version__)


def describable(member: object) -> bool:
    """
    Whether a member of a class is something that a docstring belongs to.
    """
    return inspect.isfunction(member) or isinstance(member, (property, classmethod, staticmethod))


class SilentOwner:
    """
    Stands in for a session, and is told nothing.
    """

    def __getattr__(self, name: str) -> Callable[..., None]:
        raise AssertionError(f"{name} was called")


class EventTests(SynchronousTestCase):
    """
    The multiplexer knows every event of h2.
    """

    def setUp(self) -> None:
        """
        Read the multiplexer's table.
        """
        self.ignored = {event for event, method in EVENTS.items() if method is Multiplexer._ignored}
        self.handled = set(EVENTS) - self.ignored

    def test_everyEvent(self) -> None:
        """
        Every class of event is handled or ignored, so that a new one of a new h2 is noticed.
        """
        known = {
            each
            for name, each in vars(events).items()
            if inspect.isclass(each) and issubclass(each, events.Event) and not name.startswith("_")
        } - {events.Event}
        self.assertEqual(self.handled | self.ignored, known)

    def test_ignored(self) -> None:
        """
        What is ignored is listed, with a reason.
        """
        self.assertEqual(self.ignored, set(IGNORED_EVENTS))
        self.assertEqual([event for event, reason in IGNORED_EVENTS.items() if not reason.strip()], [])


class LimitsPageTests(SynchronousTestCase):
    """
    C{docs/limits.md} says what the code does.
    """

    def table(self, name: str) -> dict[str, Any]:
        """
        Read the defaults out of the table of one class.
        """
        page = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
        section = page.partition(f"\n## `{name}`")[2].partition("\n## ")[0]
        rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|[^|]*\| ([^|]+) \|$", section, flags=re.MULTILINE)
        self.assertEqual(len(rows), section.count("\n| `"), f"a row of {name} cannot be read")
        return {field: eval(default, {"Rate": Rate, "PaddingStrategy": PaddingStrategy}) for field, default, _ in rows}

    def test_defaults(self) -> None:
        """
        Every field is there, in the code's order, with its default.
        """
        for each in (Settings, Limits, Timeouts, Options):
            expected = {
                field.name: field.default if field.default is not MISSING else dict(field.default_factory())
                for field in fields(each)
                if field.default is not MISSING or field.default_factory is not MISSING
            }
            found = self.table(each.__name__)
            self.assertEqual(found, expected)
            self.assertEqual(list(found), list(expected))


class PageTests(SynchronousTestCase):
    """
    C{docs/design.md} draws the floors that there are.
    """

    def test_floors(self) -> None:
        """
        The table of floors names each module on its floor.
        """
        page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
        section = page.partition("\n## Floors")[2].partition("\n## ")[0]
        found: list[set[str]] = []
        for number, files in re.findall(r"^\| (\d?)[^|]*\| ([^|]+) \|", section, flags=re.MULTILINE):
            if number:
                self.assertEqual(int(number), len(found))
                found.append(set())
            for path in re.findall(r"`([\w/]+)\.py`", files):
                found[-1].add(path.replace("/", ".").removesuffix("__init__").removesuffix("."))
        self.assertEqual(found, [names for _, names in FLOORS])

    def test_links(self) -> None:
        """
        The pages link only to files that are there.
        """
        for page in (ROOT / "docs").glob("*.md"):
            linked = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
            self.assertEqual([each for each in linked if not (page.parent / each).exists()], [], page.name)


class WheelTests(SynchronousTestCase):
    """
    What is installed.
    """

    def build(self) -> list[str]:
        """
        Build a wheel from a copy of the project that has been used.

        @return: the names of what is in it.
        """
        if importlib.util.find_spec("hatchling") is None:
            raise SkipTest("this needs hatchling: pip install hatchling")
        copy = Path(self.mktemp()).absolute()
        copy.mkdir()
        for name in ("txh2session", "twisted", "tests", "examples", "docs"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore"):
            shutil.copy(ROOT / name, copy / name)
        for folder in ("twisted/plugins", "txh2session"):
            (copy / folder / "dropin.cache").write_bytes(b"stale")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        built = run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(copy / "dist")],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.assertEqual(built.returncode, 0, built.stderr)
        (wheel,) = (copy / "dist").glob("*.whl")
        self.assertEqual(wheel.name, f"txh2session-{txh2session.__version__}-py3-none-any.whl")
        with ZipFile(wheel) as archive:
            return archive.namelist()

    def test_wheel(self) -> None:
        """
        A wheel has the package with its type marker and the demonstration's pages, the plugin, and nothing that would
        get in the way of Twisted's own files or keep its list of plugins from being made anew.
        """
        names = self.build()
        information = f"txh2session-{txh2session.__version__}.dist-info/"
        held = {name for name in names if not name.startswith(information)}
        package = {
            path.relative_to(ROOT).as_posix()
            for path in PACKAGE.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and path.name != "dropin.cache"
        }
        self.assertIn("txh2session/py.typed", package)
        self.assertTrue(any(name.startswith("txh2session/demo/") and not name.endswith(".py") for name in package))
        self.assertEqual(held, package | {"twisted/plugins/txh2session_plugin.py"})
        self.assertTrue(any(name.startswith(information) and name.endswith("LICENSE") for name in names))
