"""
A client that prints an answer: status and headers, then the body as it arrives, then the trailers.

Run it::

    python examples/client.py URL [CERTIFICATE]

where the certificate is that of a server which no authority vouches for, such as C{server.py}'s.
"""

import sys
from urllib.parse import urlsplit

from twisted.internet.task import react

from txh2session import ConnectFailed, clientContextFactory, connect


async def main(reactor, url="https://localhost:8443/", certificate=None):
    """
    Ask for one URL.
    """
    try:
        session = await connect(reactor, url, contextFactory=clientContextFactory(trustRoot=certificate))
    except ConnectFailed as failed:
        sys.exit(f"no session with {url}: {failed}")
    target = urlsplit(url)._replace(scheme="", netloc="", fragment="")
    stream = session.request({":path": target.geturl() or "/"})
    for name, value in await stream.whenResponse():
        print(f"{name}: {value}")
    async for chunk in stream:
        print(chunk.decode("utf-8", "replace"), end="", flush=True)
    for name, value in await stream.whenTrailers() or ():
        print(f"{name}: {value}")
    await session.close()


if __name__ == "__main__":
    react(main, sys.argv[1:])
