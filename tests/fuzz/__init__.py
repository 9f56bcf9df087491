"""
Fuzzing of inbound bytes: see C{README.md} here.
"""
