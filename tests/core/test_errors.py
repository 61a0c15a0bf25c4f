"""Errors: a sentence, a hint, an exit code, whole after a trip through a worker process."""

import pickle

import pytest

from jpfm.core import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.JpfmError, 1), (errors.UsageError, 2), (errors.DataError, 3), (errors.ArtifactError, 4),
        (errors.EnvironmentProblem, 5), (errors.ModelError, 6), (errors.Preempted, 75),
    ],
)  # fmt: skip
def test_each_kind_has_its_exit_code_and_pickles_whole(kind: type[errors.JpfmError], code: int) -> None:
    error = kind("壊れた入力", hint="直してください")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.message, again.hint, again.exit_code, str(again)) == (
        "壊れた入力",
        "直してください",
        code,
        "壊れた入力",
    )
