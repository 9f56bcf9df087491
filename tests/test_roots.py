"""
Tests of what C{twistd h2session} serves when it is told of something of one's own.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import demo, static, twcgi
from twisted.web.wsgi import WSGIResource

from txh2session import Server
from txh2session.demo import Demo
from txh2session.tap import CannotServe, Options, makeService
from txh2session.web import SiteServer

notCallable = "text"


def application(environ: Any, startResponse: Any) -> list[bytes]:
    """
    A WSGI application.
    """
    startResponse("200 OK", [])
    return [b"hello"]


def breaks() -> None:
    """
    Fails.
    """
    raise ValueError("it will\nnot do")


class SiteOptionsTests(SynchronousTestCase):
    """
    C{--path}, C{--class}, C{--wsgi} and what goes with them.
    """

    def server(self, *arguments: str) -> Server:
        """
        Make the server of a command line.
        """
        options = Options()
        options.parseOptions(["--http", "0", *arguments])
        self.reactor = MemoryReactorClock()
        return makeService(options, self.reactor).server

    def site(self, *arguments: str) -> Any:
        """
        Make the site of a command line.
        """
        server = self.server(*arguments)
        assert isinstance(server, SiteServer)
        return server.site

    def assertRefused(self, said: str, *arguments: str) -> None:
        """
        Check that a command line is refused with one line.
        """
        error = self.assertRaises(CannotServe, self.server, *arguments)
        self.assertEqual(len(str(error).splitlines()), 1, str(error))
        self.assertIn(said, str(error))

    def test_demo(self) -> None:
        """
        Without them the demonstration is served, and CONNECT for it announced.
        """
        server = self.server()
        self.assertNotIsInstance(server, SiteServer)
        received: Any = server.streamReceived
        self.assertIsInstance(received.__self__, Demo)
        self.assertTrue(server.settings.enableConnectProtocol)
        self.assertFalse(self.server("--class", "twisted.web.demo.Test").settings.enableConnectProtocol)

    def test_path(self) -> None:
        """
        C{--path} serves files, as its options say.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        root = self.site("--path", folder).resource
        self.assertIsInstance(root, static.File)
        self.assertEqual((root.path, root.processors, root.defaultType), (os.path.abspath(folder), {}, "text/html"))
        self.assertEqual(root.indexNames, static.File.indexNames)
        given = ("--index", "a", "--index", "b", "--mime-type", "text/x", "--ignore-ext", ".html", "--ignore-ext", "*")
        root = self.site("--path", folder, *given, "--processor", ".cgi=twisted.web.twcgi.CGIScript").resource
        self.assertEqual((root.indexNames, root.defaultType), (["a", "b"], "text/x"))
        self.assertEqual((root.ignoredExts, root.processors), ([".html", "*"], {".cgi": twcgi.CGIScript}))

    def test_class(self) -> None:
        """
        C{--class} serves what a class, or function, makes.
        """
        self.assertIsInstance(self.site("--class", "twisted.web.demo.Test").resource, demo.Test)

    def test_wsgi(self) -> None:
        """
        C{--wsgi} serves an application in threads, which run as long as the reactor.
        """
        site = self.site("--wsgi", "tests.test_roots.application")
        self.assertIsInstance(site.resource, WSGIResource)
        self.assertEqual(len(self.reactor.whenRunningHooks), 1)
        self.assertEqual(len(self.reactor.triggers["after"]["shutdown"]), 1)

    def test_site(self) -> None:
        """
        The site has the log, the timeout and the tracebacks that were asked for.
        """
        site = self.site("--class", "twisted.web.demo.Test")
        self.assertEqual((site.timeOut, site.logPath, site.displayTracebacks), (60, None, False))
        log = os.path.abspath(self.mktemp())
        given = ("--logfile", log, "--idle-timeout", "0", "--display-tracebacks")
        site = self.site("--class", "twisted.web.demo.Test", *given)
        self.assertEqual((site.timeOut, site.logPath, site.displayTracebacks), (None, log, True))
        self.assertIs(site.reactor, self.reactor)

    def test_together(self) -> None:
        """
        What does not go together is refused.
        """
        self.assertRefused("--path and --class", "--path", ".", "--class", "a.B")
        self.assertRefused("--class and --wsgi", "--wsgi", "a.b", "--class", "a.B")
        for option in ("--index", "--ignore-ext", "--processor", "--mime-type"):
            self.assertRefused(f"{option} goes with --path", "--class", "a.B", option, ".a=b.c")
        self.assertRefused("--logfile goes with --path, --class or --wsgi", "--logfile", "l")
        self.assertRefused("--display-tracebacks goes with", "--display-tracebacks")
        self.assertRefused("--add-header goes with", "--add-header", "a: b")

    def test_badPairs(self) -> None:
        """
        So is what lacks a part.
        """
        for header in ("name", "name:", ": value", ""):
            self.assertRefused(
                "--add-header has two parts with ':' between them", "--path", ".", "--add-header", header
            )
        self.assertRefused("--processor has two parts with '='", "--path", ".", "--processor", ".cgi")

    def test_missing(self) -> None:
        """
        So is what is not there, or is not what it should be.
        """
        self.assertRefused("--path nowhere: no such file or folder", "--path", "nowhere")
        for option in ("--class", "--wsgi"):
            self.assertRefused(f"{option} nowhere.at.all: ", option, "nowhere.at.all")
            self.assertRefused(f"{option} tests.test_roots.nothing: ", option, "tests.test_roots.nothing")
            self.assertRefused("which cannot be called", option, "tests.test_roots.notCallable")
            self.assertRefused(f"{option} : ", option, "")
        self.assertRefused("--class builtins.dict: it makes {}, which is no resource", "--class", "builtins.dict")
        self.assertRefused("--class tests.test_roots.breaks: it will not do", "--class", "tests.test_roots.breaks")
        self.assertRefused("--class twisted.web.static.File: ", "--class", "twisted.web.static.File")
        self.assertRefused("--processor nowhere.at: ", "--path", ".", "--processor", ".x=nowhere.at")

    def test_moduleBreaks(self) -> None:
        """
        A module that cannot be imported is told of with its kind of error.
        """
        folder = self.mktemp()
        os.makedirs(folder)
        with open(os.path.join(folder, "broken_root.py"), "w", encoding="ascii") as file:
            file.write("1 / 0\n")
        self.patch(sys, "path", [folder, *sys.path])
        self.assertRefused(
            "--class broken_root.root: ZeroDivisionError: division by zero", "--class", "broken_root.root"
        )
