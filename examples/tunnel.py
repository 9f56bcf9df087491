"""
A tunnel through an HTTP/2 proxy, all in one process: a TCP server that shouts, a proxy that allows nothing but that
server, and a client that talks to it through the proxy.

Run it::

    python examples/tunnel.py

Any protocol runs in a tunnel; here it is lines of text.
"""

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.basic import LineOnlyReceiver

from txh2session import Server, connect
from txh2session.tunnel import TunnelEndpoint, TunnelProxy, TunnelRefused


class Shout(LineOnlyReceiver):
    """
    Says every line again, louder; it knows nothing of HTTP.
    """

    def lineReceived(self, line):
        """
        Answer.
        """
        self.sendLine(line.upper())


class Ask(LineOnlyReceiver):
    """
    Sends lines, and closes when all are answered.
    """

    def __init__(self, lines):
        self.lines = lines
        self.left = len(lines)
        self.closed = Deferred()

    def connectionMade(self):
        """
        Begin.
        """
        print(f"client: connected to {self.transport.getPeer().hostname.decode()} through the proxy")
        for line in self.lines:
            self.sendLine(line)

    def lineReceived(self, line):
        """
        Count the answers.
        """
        print("client: got", line.decode())
        self.left -= 1
        if not self.left:
            self.transport.loseConnection()

    def connectionLost(self, reason):
        """
        The other end has closed too.
        """
        print("client:", reason.getErrorMessage())
        self.closed.callback(None)


async def main(reactor):
    """
    Start a target and a proxy, and be the client.
    """
    listening = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    target = await listening.listen(Factory.forProtocol(Shout))
    port = target.getHost().port

    def allow(host, wanted):
        allowed = (host, wanted) == ("127.0.0.1", port)
        print(f"proxy: {host} is {'allowed' if allowed else 'not allowed'}")
        return allowed

    proxy = Server(TunnelProxy(reactor, allow).streamReceived)
    proxyPort = await proxy.listen(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))

    session = await connect(reactor, f"http://127.0.0.1:{proxyPort.getHost().port}")
    asking = await connectProtocol(TunnelEndpoint(session, "127.0.0.1", port), Ask([b"hello", b"tunnel"]))
    await asking.closed
    try:
        await connectProtocol(TunnelEndpoint(session, "internal.example", 22), Ask([]))
    except TunnelRefused as refused:
        print("client:", refused)
    await session.close()
    await proxy.close()
    await target.stopListening()


if __name__ == "__main__":
    react(main)
