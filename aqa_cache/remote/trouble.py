"""What goes wrong with a store: what passes by itself, and what a person has to mend, in one message."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from ..errors import AqaError, first_line

ATTEMPTS = 5
_FIRST_WAIT, _MOST_WAIT = 0.5, 8.0  # seconds; each wait is twice the one before, give or take a half

# What the stores and their libraries say: S3's, Google's, Azure's.
_EXPIRED = (
    "ExpiredToken",
    "TokenRefreshRequired",
    "token included in the request is expired",
    "expired",
    "Invalid Credentials",
    "Signature not valid in the specified time frame",
)
_SKEWED = (
    "RequestTimeTooSkewed",
    "TimeTooSkewed",
    "difference between the request time",
    "Request date header too old",
)
_NO_CREDENTIALS = (
    "Unable to locate credentials",
    "NoCredentials",
    "Could not automatically determine cred",
    "Anonymous caller",
    "default credentials were not found",
    "Must provide either a connection_string",
    "DefaultAzureCredential failed",
    "NoAuthenticationInformation",
)
_REFUSED = (
    "AccessDenied",
    "Forbidden",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AuthenticationFailed",
    "failed to authenticate",
    "Public access is not permitted",
)
_REFUSED_STATUS = (401, 403)
_NO_BUCKET = ("NoSuchBucket", "bucket does not exist", "ContainerNotFound", "container does not exist")
NO_BUCKET = "there is no such bucket; correct the URL, or make the bucket"

Given = TypeVar("Given")


class StoreError(AqaError):
    """A store does not do what is asked of it, also not after a while; another run may go on."""


def patiently(url: str, doing: str, act: Callable[[], Given]) -> Given:
    """What `act` gives, tried `ATTEMPTS` times where the store answers 5xx, slowly or not at all.

    Args:
        url: of what is asked for; doing: what is done with it, for a person.

    Raises:
        FileNotFoundError: it is not there.
        StoreError: the store refuses, or does not answer well to the last attempt.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return act()
        except Exception as error:  # every store's library raises its own
            if isinstance(error, AqaError):
                raise
            if why := why_refused(error):
                raise StoreError(f"{url}: cannot {doing}: {why}") from None
            if isinstance(error, FileNotFoundError):
                raise
            if attempt == ATTEMPTS:
                raise StoreError(
                    f"{url}: cannot {doing}: the store failed {ATTEMPTS} times, the last time with"
                    f" {type(error).__name__}: {first_line(error)}; what is done is kept, run the same"
                    " command again"
                ) from None
        time.sleep(min(_MOST_WAIT, _FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.5, 1.5))
    raise AssertionError("the last attempt returns or raises")


def why_refused(error: BaseException) -> str:
    """What a person has to do before another attempt can do better; empty where it may."""
    said = _said(error)

    def has(words: tuple[str, ...]) -> bool:
        return any(word in said for word in words)

    if has(_SKEWED):
        return "the store says that this machine's clock is wrong; set it, and run the same command again"
    if has(_NO_CREDENTIALS):
        return "there are no credentials; set them as for the store's own tools (docs/clusters.md)"
    if has(_EXPIRED):
        return (
            "the credentials have expired; renew them, and run the same command again: what is done is kept"
        )
    if has(_NO_BUCKET):
        return NO_BUCKET
    if isinstance(error, PermissionError) or has(_REFUSED) or _status(error) in _REFUSED_STATUS:
        return f"no permission ({first_line(error)}); give these credentials the right to it, or take others"
    if isinstance(error, NotImplementedError | TypeError | ImportError):
        return f"this kind of place cannot ({type(error).__name__}: {first_line(error)})"
    return ""


def _status(error: BaseException) -> int | None:
    """Of the answer that an error of Azure's or Google's library is about; None where it has none."""
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    return int(status) if isinstance(status, int | str) and str(status).isdecimal() else None


def _said(error: BaseException) -> str:
    """All that an error and those behind it say."""
    said, seen = [], 0
    while error is not None and seen < 8:
        said.append(f"{type(error).__name__} {error}")
        error, seen = error.__cause__ or error.__context__, seen + 1
    return " ".join(said)[:10_000]
