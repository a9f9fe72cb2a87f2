"""Files of a model from the Hugging Face Hub, by its own client and into its own cache."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ...errors import WeightsError, first_line, missing


def fetch(
    repository: str,
    revision: str | None,
    patterns: Sequence[str],
    complete: Callable[[Path], bool],
    before: Callable[[], None] = lambda: None,
) -> Path:
    """The folder of one revision of a model with the files of `patterns`.

    What is in this machine's cache is taken from there, without a question to the network: the revision of
    the first time is kept to until another is asked for.

    Args:
        revision: a branch, tag or commit; None: the one in the cache, else `main`.
        complete: whether a folder has what is needed.
        before: called before the network is.

    Returns:
        A folder whose name is the commit.

    Raises:
        AqaError: they cannot be had, and what to do.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import huggingface_hub
        from huggingface_hub import errors, utils
    except Exception as error:
        raise missing(
            "huggingface_hub", f"the model {repository}", error, "'aqa-cache[hf]' (or [timm])"
        ) from None

    def snapshot(*, local: bool) -> Path:
        with _quiet(utils):
            return Path(
                huggingface_hub.snapshot_download(
                    repository, revision=revision, allow_patterns=list(patterns), local_files_only=local
                )
            )

    try:
        path = snapshot(local=True)
        if complete(path):
            return path
    except (errors.LocalEntryNotFoundError, OSError):
        pass
    before()
    try:
        path = snapshot(local=False)
    except Exception as error:  # of the client, of what it sends requests with, of the disk
        raise WeightsError(_said(repository, revision, error, errors)) from None
    if not complete(path):
        raise WeightsError(
            f"{repository}: {path} lacks what is needed of {', '.join(patterns)}: the model is not published"
            f" in this form, or the network was away. {_by_hand(repository, revision)}"
        )
    return path


@contextlib.contextmanager
def _quiet(utils) -> Iterator[None]:
    """Without the client's warnings, which are errors here; its bars are for people who watch."""
    before, bars = utils.logging.get_verbosity(), not utils.are_progress_bars_disabled()
    utils.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.logging.set_verbosity(before)
        if bars:
            utils.enable_progress_bars()


def _said(repository: str, revision: str | None, error: Exception, errors) -> str:
    page = f"https://huggingface.co/{repository}"
    if isinstance(error, errors.GatedRepoError):
        return (
            f"{repository}: is published only to those who accept its terms; do so on {page}, log in with hf"
            f" auth login, and run again. {_by_hand(repository, revision)}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repository}: has no revision {revision}; see {page}/commits/main"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"{repository}: there is no such model on the Hub, or it is not public; look for it on {page}"
    return (
        f"{repository}: cannot be fetched from the Hub ({type(error).__name__}: {first_line(error)}), and is"
        f" not in this machine's cache of it. {_by_hand(repository, revision)}"
    )


def _by_hand(repository: str, revision: str | None) -> str:
    name = repository.split("/")[1]
    at = f" --revision {revision}" if revision else ""
    return (
        f"Without a network here: elsewhere run hf download {repository}{at} --include '*.json' --include"
        f" 'model*.safetensors' --include README.md --local-dir {name}, bring that folder here, and give its"
        " path in place of the name"
    )
