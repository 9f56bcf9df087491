"""
What a peer may not do, as data: each row is what it sends and what becomes of it.

C{rows} says what a row is and judges one against a session that is under test, in memory, over TCP or over TLS; C{server},
C{client} and C{messages} are the rows.  C{tests.test_conformance} runs them in memory, C{tests.peers.test_raw} through
sockets, and C{docs/conformance.md} names each with the rule that it shows.
"""
