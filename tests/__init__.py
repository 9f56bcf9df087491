"""
The tests: C{trial tests} runs them all.
"""

from hypothesis import settings

# No deadline: the machines that run these are shared.  The same examples every time: what fails once fails again.
settings.register_profile("txh2session", deadline=None, derandomize=True, database=None)
settings.load_profile("txh2session")
