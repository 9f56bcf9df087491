"""
The same scenarios with Node and with us on either side, and the traces they leave.

C{expected.txt} says what each trace must be, C{table} reads it.  C{node} runs C{node.js}, with C{plays.js} and C{side.js};
C{plays}, C{acts} and C{here} are the same in Python.  C{relay} records a connection, C{reading} makes a trace of it.
"""
