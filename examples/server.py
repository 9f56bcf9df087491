"""
An HTTPS server that answers every request with a line of text.

Run it, and ask it with C{client.py} or C{curl}::

    python examples/server.py [PORT]

It makes itself a certificate for localhost, and says where that is.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.task import react

from txh2session import Server, developmentCertificate, serverContextFactory


async def answer(stream, headers):
    """
    Answer one request.
    """
    body = f"{headers.method} {headers.path} over {stream.session.alpnProtocol}\n".encode()
    stream.respond({"content-type": "text/plain", "content-length": len(body)})
    stream.end(body)


async def main(reactor, port="8443"):
    """
    Serve until SIGTERM or Ctrl-C.
    """
    files = developmentCertificate()
    tls = serverContextFactory(files.privateKeyPath)
    listening = await Server(answer).listen(SSL4ServerEndpoint(reactor, int(port), tls, interface="127.0.0.1"))
    print(f"https://localhost:{listening.getHost().port} with the certificate {files.certificatePath}", flush=True)
    await Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
