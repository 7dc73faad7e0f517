"""For all tests: none of them judges how long anything takes, made-up examples included."""

import contextlib

# The console's venv, in which tests/console and its like run, has no hypothesis.
with contextlib.suppress(ImportError):
    from hypothesis import settings

    settings.register_profile("untimed", deadline=None)
    settings.load_profile("untimed")
