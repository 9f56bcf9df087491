"""
A client that uploads a file of any size in little memory: it reads on only when what it has read is on its way.

Run it against the demo server (C{twistd -n h2session})::

    python examples/upload.py FILE [URL]
"""

import os
import sys
from urllib.parse import urlsplit

from twisted.internet.task import react

from txh2session import SessionError, StreamError, connect

CHUNK = 64 * 1024


async def upload(stream, file):
    """
    Send a file as a request's body.
    """
    try:
        while chunk := file.read(CHUNK):
            await stream.send(chunk)
        stream.end()
    except (StreamError, SessionError):
        pass  # the server wants no more of it: its answer, if there is one, says why


async def main(reactor, path, url="http://localhost:8080/discard"):
    """
    Upload one file.
    """
    session = await connect(reactor, url)
    target = urlsplit(url)._replace(scheme="", netloc="", fragment="")
    size = os.path.getsize(path)
    stream = session.request({":method": "POST", ":path": target.geturl() or "/", "content-length": size})
    with open(path, "rb") as file:
        await upload(stream, file)
    try:
        headers = await stream.whenResponse()
        print(headers.status, (await stream.read()).decode())
    except (StreamError, SessionError) as error:
        # Where the server surely did nothing processed is False, and the upload may be sent again.
        sys.exit(f"the upload failed: {error} (processed: {error.processed})")
    await session.close()


if __name__ == "__main__":
    react(main, sys.argv[1:])
