"""Errors a person can act on: each says what is wrong and what to do next."""


class DigestError(Exception):
    """Something a person must know or mend. The command line prints the message as one line and exits with `exit_code`."""

    exit_code = 1


class SettingsError(DigestError):
    """A setting is wrong; the message names its variable and what is allowed."""

    exit_code = 2


class NotFoundError(DigestError):
    """The named thing does not exist; the message lists what does."""

    exit_code = 2


class SourceError(DigestError):
    """A source could not be read; the others go on."""


class TransitionError(DigestError):
    """An edition may not move that way from the state it is in."""

    exit_code = 3


class NotReadyError(DigestError):
    """An edition or digest lacks something it cannot be sent without."""

    exit_code = 3


class TemplateMissingError(DigestError):
    """A template is not in the publisher's folder nor in ours."""


class StorageError(DigestError):
    """Disk or database refused; nothing was recorded as sent that was not."""

    exit_code = 4


class TransportError(DigestError):
    """The other side takes nothing now, for a reason that is not a reader's; what it did not take is queued again."""


class UnreachableError(TransportError):
    """There never was a connection, so nothing has left."""


class AccountError(TransportError):
    """The account is refused, not a reader: the edition is paused and the alarm raised; no attempt is counted."""


class ContentError(TransportError):
    """The message itself is refused: the edition is paused and the alarm raised before more readers are tried."""
