"""
A server that loses no request when it is stopped: at SIGTERM or Ctrl-C it refuses new connections, tells its clients to go
elsewhere, finishes what has begun, and leaves.

Run it, ask for something that takes its time, and stop it meanwhile::

    python examples/graceful_stop.py [PORT]
    curl --http2-prior-knowledge http://localhost:8080/
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater, react

from txh2session import Server


async def main(reactor, port="8080", seconds="2"):
    """
    Serve until told to stop.
    """

    async def answer(stream, headers):
        stream.respond({"content-type": "text/plain"})
        stream.write(b"this takes a while ...\n")
        await deferLater(reactor, float(seconds))
        stream.end(b"and is whole.\n")

    server = Server(answer)
    listening = await server.listen(TCP4ServerEndpoint(reactor, int(port), interface="127.0.0.1"))
    print(f"http://localhost:{listening.getHost().port}", flush=True)

    def drain():
        print("draining", flush=True)
        return server.close(grace=30).addCallback(lambda _: print("every request was answered", flush=True))

    # The reactor waits for the Deferred before it stops.
    reactor.addSystemEventTrigger("before", "shutdown", drain)
    await Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
