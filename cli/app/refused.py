"""What a request is answered with that is not done."""

from aqa_cache.errors import AqaError


class Refused(AqaError):
    """A request that cannot be done.

    Args:
        status: of the answer.
    """

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status
