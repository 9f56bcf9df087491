"""
A server and a client in one process, in clear text on localhost port 8000: the server answers one request, closes itself
and ends the session; the client reads the answer and leaves.

Run it::

    python examples/tutorial_respond_then_close.py
"""

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import react

from txh2session import Server, connect


async def serve(endpoint):
    """
    Start the server.

    @return: a Deferred that fires when the session of its first client is gone.
    """
    finished = Deferred()

    def streamReceived(stream, headers):
        session = stream.session

        def sessionErrored(failure):
            print("session error :", failure.value.code)

        def sessionClosed(_):
            print("session is destroyed")
            finished.callback(None)

        session.whenClosed().addErrback(sessionErrored).addCallback(sessionClosed)

        stream.respond({":status": 200, "content-type": "text/plain"})
        stream.write(b"hello ")
        stream.end(f"session protocol : {session.alpnProtocol}".encode())

        def serverClosed(_):
            print("server destroyed")
            session.destroy()

        server.close().addCallback(serverClosed)

    server = Server(streamReceived)
    await server.listen(endpoint)
    return finished


async def ask(reactor, url):
    """
    Make one request and print the answer.
    """
    session = await connect(reactor, url)
    stream = session.request({":path": "/"})
    headers = await stream.whenResponse()
    print("status :", headers.status)
    async for chunk in stream:
        print("Received:", chunk.decode())
    closed = session.close()
    print("client destroyed")
    await closed


async def main(reactor):
    """
    Serve, ask, and wait for both.
    """
    finished = await serve(TCP4ServerEndpoint(reactor, 8000, interface="127.0.0.1"))
    await ask(reactor, "http://localhost:8000")
    await finished


if __name__ == "__main__":
    react(main)
