"""
A C{twisted.web} site on one port for HTTP/2, h2c and HTTP/1.1: a page, a folder, and an upload that is counted as it comes.

Run it, and ask it in any of the three ways::

    python examples/site.py [FOLDER] [PORT]
    curl http://localhost:8080/
    curl --http2-prior-knowledge http://localhost:8080/files/
    curl --http2-prior-knowledge -T FILE http://localhost:8080/upload
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import react
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.static import File
from zope.interface import implementer

from txh2session import Ended
from txh2session.web import IStreamingResource, setTrailers, streamOf, uploadOf, wrapSite


class Page(Resource):
    """
    Says by which protocol it was asked.
    """

    def render_GET(self, request):
        """
        Answer as over HTTP/1.1, and tell clients of HTTP/2 to fetch something meanwhile.
        """
        stream = streamOf(request)
        if stream is not None:
            stream.additionalHeaders({":status": 103, "link": "</files/>; rel=prefetch"})
        return b"asked by " + request.clientproto + b"\n"


@implementer(IStreamingResource)
class Upload(Resource):
    """
    Counts what is uploaded, as it comes over HTTP/2.
    """

    isLeaf = True

    def render_POST(self, request):
        """
        Begin when the headers are there.
        """
        Deferred.fromCoroutine(self.count(request))
        return NOT_DONE_YET

    render_PUT = render_POST

    async def count(self, request):
        """
        Take the next bytes from the client when those before have been counted.
        """
        size = 0
        try:
            async for chunk in uploadOf(request):
                size += len(chunk)
        except Ended:
            return  # the client has gone, and the request with it
        setTrailers(request, {"x-bytes": str(size)})
        request.write(b"%d\n" % size)
        request.finish()


async def main(reactor, folder=".", port="8080"):
    """
    Serve until SIGTERM or Ctrl-C, and then let what has begun finish.
    """
    root = Resource()
    root.putChild(b"", Page())
    root.putChild(b"files", File(folder))
    root.putChild(b"upload", Upload())
    server = wrapSite(Site(root))
    listening = await server.listen(TCP4ServerEndpoint(reactor, int(port), interface="127.0.0.1"))
    print(f"http://localhost:{listening.getHost().port}", flush=True)
    reactor.addSystemEventTrigger("before", "shutdown", server.close, grace=30)
    await Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
