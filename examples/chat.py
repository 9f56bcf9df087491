"""
A chat over WebSockets, all in one process: a server that tells everybody what anybody says, and two clients, one that loops
over its messages and one that is called with them.

Run it::

    python examples/chat.py

It needs the extra C{websocket}.
"""

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import react

from txh2session import Server, Settings, connect
from txh2session.websocket import CloseCode, WebSocketListener, acceptWebSocket, openWebSocket

SLOW = 100_000
"""How many bytes may wait for a member who does not read before the room goes on without them."""


class Room:
    """
    Who is there.
    """

    def __init__(self):
        self.members = []

    async def enter(self, stream, headers):
        """
        Let one member in, and pass on what they say until they go.
        """
        if headers.get(":protocol") != "websocket":
            stream.respond({":status": 404}, endStream=True)
            return
        member = acceptWebSocket(stream, protocols=["chat"], maxMessageSize=1000)
        if member is None:
            return
        name = headers.path.removeprefix("/")
        self.members.append(member)
        try:
            async for message in member:
                self.tell(f"{name}: {message}")
        finally:
            self.members.remove(member)
            self.tell(f"{name} has gone")

    def tell(self, text):
        """
        Tell everybody, but wait for nobody.
        """
        for member in list(self.members):
            if member.stream.bufferSize > SLOW:
                member.abort()
            else:
                member.send(text).addErrback(lambda _: None)  # their own loop sees that they have gone


class Printer(WebSocketListener):
    """
    Prints what Bob hears.
    """

    def __init__(self):
        self.closed = Deferred()

    def messageReceived(self, webSocket, message):
        """
        Answer a greeting; go when Alice does.
        """
        print("bob hears", message)
        if message == "alice: hello":
            webSocket.send("hello, alice")
        elif message == "alice has gone":
            webSocket.close(CloseCode.GOING_AWAY)

    def webSocketClosed(self, webSocket, error):
        """
        See L{WebSocketListener}.
        """
        self.closed.callback(f"bob has left with {webSocket.closeCode.name}")


async def main(reactor):
    """
    Start the server, and be both clients on one session.
    """
    server = Server(Room().enter, settings=Settings(enableConnectProtocol=True))
    port = await server.listen(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
    session = await connect(reactor, f"http://127.0.0.1:{port.getHost().port}")

    printer = Printer()
    bob = await openWebSocket(session, "/bob", protocols=["chat"])
    bob.deliverMessages(printer)

    alice = await openWebSocket(session, "/alice", protocols=["chat"])
    print("alice speaks", alice.subprotocol)
    await alice.send("hello")
    async for message in alice:
        print("alice hears", message)
        if message == "bob: hello, alice":
            await alice.close()

    print(await printer.closed)
    await session.close()
    await server.close()


if __name__ == "__main__":
    react(main)
