"""What obstore's errors mean to a user: which bucket, which right, which server."""

from __future__ import annotations

import re

from alphaqcm.data_collection.errors import StoreError, StoreRefused

_SECRET = re.compile(r"(?i)(signature|credential|token|key)=[^&\s\"]+")

_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY",
}


def store_error(name: str, error: BaseException) -> StoreError:
    """The error of a request about `name`, the URL of an object or of a data root."""
    text = str(error)
    kind = type(error).__name__
    if "NoSuchBucket" in text or "ContainerNotFound" in text:
        return StoreError(
            name,
            expected="a bucket that exists",
            found="the store knows none of that name",
            next_step="make it, or correct --data-root; AWS_ENDPOINT_URL names another server",
        )
    if "Account must be specified" in text:
        text, kind = "no account in the environment", "UnauthenticatedError"
    if "169.254.169.254" in text or "metadata.google" in text:  # obstore's last resort
        text = "no credentials in the environment"
        kind = "UnauthenticatedError"
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or "ExpiredToken" in text:
        return StoreRefused(
            name,
            expected="credentials that may read, write and list there",
            found=_reason(text) or (text if text.startswith("no ") else "refused"),
            next_step=f"set or renew them ({_VARIABLES.get(name[:2], '')}); "
            "the same command then goes on from here",
        )
    return StoreError(
        name,
        expected="a store that answers",
        found=_SECRET.sub(r"\1=…", _reason(text) or text.splitlines()[0][:300] if text else kind),
        next_step="the same command goes on from here once it does",
    )


def _reason(text: str) -> str:
    """The store's own words in its answer: code and message."""
    code = re.search(r"<Code>([^<]+)</Code>", text)
    message = re.search(r"<Message>([^<]+)</Message>", text)
    return ": ".join(found[1] for found in (code, message) if found)
