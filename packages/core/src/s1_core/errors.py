"""The errors a verb may end with and their exit codes; every other exception is our own fault."""


class S1Error(Exception):
    """An end that fits in one line; the verb exits with `exit_code`."""

    exit_code = 1


class UserError(S1Error):
    """The user's fault: the message says what was found, what was wanted and what to do."""

    exit_code = 2


class NumericsError(S1Error):
    """Training that can no longer be saved: NaN, or a loss that has run away."""

    exit_code = 3


class Interrupted(S1Error):
    """Stopped on request with everything saved; running the same command again goes on."""

    exit_code = 75


def require(holds: bool, message: str) -> None:
    """Raise UserError with `message` unless `holds`: the checks of a configuration."""
    if not holds:
        raise UserError(message)
