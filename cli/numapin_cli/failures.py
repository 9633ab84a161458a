"""What can go wrong between the command line and the API server, in words for people. Pure.

Commands tell these apart; everybody else shows them as they are.
"""

import json

from numapin_api.errors import ApiError


class NotFoundError(ApiError):
    """The API server says 404."""


class ForbiddenError(ApiError):
    """The API server says 403."""


class UnavailableError(ApiError):
    """The API server can't reach what it was to pass the request on to."""


class UnreadableError(ApiError):
    """An object is not what this version of the contract knows."""


def refusal(what: str, status: int, body: str | bytes | None) -> ApiError:
    """What the API server's answer is to the user.

    Args:
        what: was asked for.
        status: of HTTP.
        body: a metav1.Status most of the time, but proxies answer, too.
    """
    try:
        said = json.loads(body or "{}").get("message") or ""
    except (ValueError, AttributeError):
        said = ""
    if status == 404:
        return NotFoundError(said or f"{what} is not there")
    if status == 403:
        return ForbiddenError(f"not allowed: {said or what}")
    if status == 401:
        return ApiError("the API server does not accept these credentials: log in again")
    kind = UnavailableError if status in {502, 503, 504} else ApiError
    return kind(
        f"the API server answered {status} when asked for {what}: {said or 'no reason given'}"
    )


def unreachable(host: str, described: str, error: Exception) -> str:
    """That there was no answer at all, and what to look at.

    Args:
        host: of the API server.
        described: how the cluster was found.
        error: of the connection.
    """
    reason = getattr(error, "reason", None) or error
    return (
        f"can't reach the API server {host} ({described}): {reason}; "
        "is the cluster up, and is this the one that is meant?"
    )
