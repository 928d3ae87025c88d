"""
The tests on every supported Python that is there: ``make test-all``.
"""

import nox

nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """
    Run the tests.
    """
    session.install("-r", "requirements-dev.txt")
    session.run("python", "-m", "pytest", *session.posargs)
