"""
A server and a client in one process, in clear text on localhost port 8000: the server destroys the session inside its
handler, and the client learns that the body it waits for will not come.

Run it::

    python examples/tutorial_destroy_in_handler.py
"""

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import react

from txh2session import Server, StreamError, connect


async def serve(endpoint):
    """
    Start the server.

    @return: a Deferred that fires when it has been closed.
    """
    finished = Deferred()

    async def streamReceived(stream, headers):
        session = stream.session
        session.destroy()
        await session.whenClosed()
        print("session is closed")
        await server.close()
        print("server destroyed")
        finished.callback(None)

    server = Server(streamReceived)
    await server.listen(endpoint)
    return finished


async def ask(reactor, url):
    """
    Make one request, read its body, and print what came of it.
    """
    session = await connect(reactor, url)
    stream = session.request({":path": "/"})
    try:
        body = await stream.read()
    except StreamError as error:
        print("no body:", error)
    else:
        print("Received:", body.decode())
    await session.close()


async def main(reactor):
    """
    Serve, ask, and wait for both.
    """
    finished = await serve(TCP4ServerEndpoint(reactor, 8000, interface="127.0.0.1"))
    await ask(reactor, "http://localhost:8000")
    await finished


if __name__ == "__main__":
    react(main)
