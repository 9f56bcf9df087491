"""
An agent that asks for several URLs at once, follows redirects, and says which version of HTTP each server spoke.

Run it::

    python examples/agent.py [--certificate FILE] URL...

where the certificate is that of a server which no authority vouches for, such as C{server.py}'s.  Requests for one server
share a connection where it speaks HTTP/2.  treq does the rest: C{treq.client.HTTPClient(agent).get(url)}.
"""

import sys

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react
from twisted.web.client import BrowserLikeRedirectAgent, readBody

from txh2session import clientContextFactory
from txh2session.agent import H2Agent


async def fetch(agent, url):
    """
    Ask for one URL.

    @return: a line about the answer.
    """
    try:
        response = await agent.request(b"GET", url.encode("ascii"))
        body = await readBody(response)
    except Exception as error:
        return f"{url}: {type(error).__name__}: {error}"
    version = "{}/{}.{}".format(response.version[0].decode(), *response.version[1:])
    return f"{url}: {version} {response.code} {response.phrase.decode()}, {len(body)} bytes"


async def main(reactor, *arguments):
    """
    Ask for all of them.
    """
    certificate = None
    if arguments[:1] == ("--certificate",):
        certificate, *arguments = arguments[1:]
    if not arguments:
        sys.exit(__doc__)
    agent = H2Agent(reactor, contextFactory=clientContextFactory(trustRoot=certificate))
    following = BrowserLikeRedirectAgent(agent)
    for line in await gatherResults([Deferred.fromCoroutine(fetch(following, url)) for url in arguments]):
        print(line)
    for origin, has in agent.pool.state.items():
        print(f"{origin}: {has.sessions} session")
    await agent.close()


if __name__ == "__main__":
    react(main, sys.argv[1:])
