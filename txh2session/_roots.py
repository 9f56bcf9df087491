"""
What C{twistd h2session} serves when it is told of something of one's own: files, a resource or a WSGI application, with the
options that C{twistd web} has for them.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.python.reflect import InvalidName, namedAny
from twisted.python.threadpool import ThreadPool
from twisted.python.usage import Options, UsageError
from twisted.web.resource import IResource
from twisted.web.server import Site
from twisted.web.static import File
from twisted.web.wsgi import WSGIResource

_ROOTS = ("path", "class", "wsgi")


class SiteOptions(Options):
    """
    The options about a site.
    """

    optParameters = [
        ["path", None, None, "Serve this folder, or file."],
        ["class", None, None, "Serve a resource: the full name of a class, or function, that makes one."],
        ["wsgi", None, None, "Serve a WSGI application: its full name, as in package.module.application."],
        ["mime-type", None, None, "Media type of files under --path whose names tell of none; text/html if not given."],
        ["logfile", "l", None, "File for the access log of a site; the program's log if not given."],
    ]
    optFlags = [["display-tracebacks", None, "Show clients the tracebacks of a site.  They tell a lot."]]

    def __init__(self) -> None:
        super().__init__()
        self["index"] = []
        self["ignore-ext"] = []
        self["processor"] = []
        self["add-header"] = []

    def opt_index(self, name: str) -> None:
        """
        Name of a file under --path that stands for its folder; index and index.html if none is given; may be repeated.
        """
        self["index"].append(name)

    def opt_ignore_ext(self, extension: str) -> None:
        """
        Serve NAME.EXTENSION under --path for NAME, for example .html, or * for any; may be repeated.
        """
        self["ignore-ext"].append(extension)

    def opt_processor(self, processor: str) -> None:
        """
        EXTENSION=CLASS: have a resource of that class answer for files under --path with that extension, for example
        .cgi=twisted.web.twcgi.CGIScript; may be repeated.
        """
        self["processor"].append(processor)

    def opt_add_header(self, header: str) -> None:
        """
        NAME: VALUE for every answer of a site; may be repeated.
        """
        self["add-header"].append(header)

    def postOptions(self) -> None:
        """
        Check them against one another.
        """
        given = [f"--{name}" for name in _ROOTS if self[name] is not None]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]}: there is one thing to serve")
        for name in ("index", "ignore-ext", "processor", "mime-type"):
            if self[name] and self["path"] is None:
                raise UsageError(f"--{name} goes with --path")
        for name in ("logfile", "display-tracebacks", "add-header"):
            if self[name] and not given:
                raise UsageError(f"--{name} goes with --path, --class or --wsgi")
        self["processor"] = dict(_pair("--processor", each, "=") for each in self["processor"])
        self["add-header"] = [_pair("--add-header", each, ":") for each in self["add-header"]]


def _pair(option: str, text: str, between: str) -> tuple[str, str]:
    """
    Read two words.
    """
    first, found, second = (each.strip() for each in text.partition(between))
    if not (first and found and second):
        raise UsageError(f"{option} has two parts with {between!r} between them, unlike {text!r}")
    return first, second


class CannotFind(Exception):
    """
    What is to be served is not there.
    """


def makeSite(options: Options, reactor: Any) -> Site | None:
    """
    Make the site that the options describe.

    @return: L{None} if they describe none.

    @raise CannotFind: if what they name is not there, or is not what it should be.
    """
    if options["path"] is not None:
        root: Any = _files(options)
    elif options["class"] is not None:
        root = _resource("--class", options["class"])
    elif options["wsgi"] is not None:
        root = _application(options["wsgi"], reactor)
    else:
        return None
    idle = options["idle-timeout"] or None
    site = _Site(root, options["add-header"], logPath=options["logfile"], timeout=idle, reactor=reactor)
    site.noisy = False
    site.displayTracebacks = bool(options["display-tracebacks"])
    return site


def _files(options: Options) -> File:
    path = os.path.abspath(options["path"])
    if not os.path.exists(path):
        raise CannotFind(f"--path {options['path']}: no such file or folder")
    root = File(path)
    if options["index"]:
        root.indexNames = options["index"]
    if options["mime-type"] is not None:
        root.defaultType = options["mime-type"]
    for extension in options["ignore-ext"]:
        root.ignoreExt(extension)
    root.processors = {extension: _named("--processor", name) for extension, name in options["processor"].items()}
    return root


def _resource(option: str, name: str) -> IResource:
    make = _named(option, name)
    try:
        resource = make()
    except Exception as error:
        raise CannotFind(f"{option} {name}: {_told(error)}") from error
    if not IResource.providedBy(resource):
        raise CannotFind(f"{option} {name}: it makes {resource!r}, which is no resource")
    return resource


def _application(name: str, reactor: Any) -> WSGIResource:
    application = _named("--wsgi", name)
    pool = ThreadPool(name="wsgi")
    reactor.callWhenRunning(pool.start)
    reactor.addSystemEventTrigger("after", "shutdown", pool.stop)
    return WSGIResource(reactor, pool, application)


def _named(option: str, name: str) -> Any:
    """
    Find something that can be called.
    """
    try:
        found = namedAny(name)
    except InvalidName as error:
        raise CannotFind(f"{option} {name}: {_told(error)}") from error
    except Exception as error:  # whatever the module does while it is imported
        raise CannotFind(f"{option} {name}: {type(error).__name__}: {_told(error)}") from error
    if not callable(found):
        raise CannotFind(f"{option} {name}: it is {found!r}, which cannot be called")
    return found


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


class _Site(Site):
    """
    Adds fields to all its answers.
    """

    def __init__(self, root: IResource, headers: list[tuple[str, str]], **options: Any) -> None:
        super().__init__(root, **options)
        self._headers = headers

    def getResourceFor(self, request: Any) -> Any:
        """See L{Site}."""
        for name, value in self._headers:
            request.responseHeaders.addRawHeader(name, value)
        return super().getResourceFor(request)
