"""
Where modules may come from.
"""

import pytest

from conductor._path import is_own_program


@pytest.mark.parametrize(
    ("arguments", "words", "expected"),
    [
        (["-m"], ["python", "-m", "conductor"], True),
        (["-m", "run"], ["python", "-m", "conductor", "run"], True),
        (["-m", "run"], ["python", "-W", "error", "-mconductor", "run"], True),
        (["-m"], ["python", "-umconductor"], True),
        (["-m", "conductor"], ["python", "-m", "theirs", "conductor"], False),
        (["-m", "conductor"], ["python", "-m", "coverage", "conductor"], False),
        (["-m"], ["python", "-m", "theirconductor"], False),
        (["conductor", "run"], ["python", "conductor", "run"], False),
        (["-c"], ["python", "-c", "import conductor"], False),
        ([], [], False),
    ],
)
def test_only_our_own_program_leaves_the_working_directory(
    arguments: list[str], words: list[str], expected: bool
) -> None:
    """
    `python -m conductor` is told from every other way to come to import this package.
    """
    assert is_own_program(arguments, words) is expected
