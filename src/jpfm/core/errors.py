"""The errors a user can meet: each is a sentence, a hint and an exit code.

Raise the kind that names whose turn it is to act. Anything else that escapes is our own bug and shows a traceback
(exit code 1). Refused: one generic error with a code argument; the class name documents the place.
"""


class JpfmError(Exception):
    """What went wrong and where, found and expected; `hint` is the next action."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.hint))


def _rebuild(kind: type[JpfmError], message: str, hint: str) -> JpfmError:
    return kind(message, hint=hint)


class UsageError(JpfmError):
    """The command line or a config file is wrong."""

    exit_code = 2


class DataError(JpfmError):
    """The input data is not what was declared."""

    exit_code = 3


class ArtifactError(JpfmError):
    """An artifact is missing, unfinished, changed, or belongs to something else."""

    exit_code = 4


class EnvironmentProblem(JpfmError):
    """The machine cannot do this: disk, memory, a missing program."""

    exit_code = 5


class ModelError(JpfmError):
    """Training or evaluation cannot go on."""

    exit_code = 6


class Preempted(JpfmError):
    """Stopped from outside; everything done so far is saved and the same command resumes it."""

    exit_code = 75
