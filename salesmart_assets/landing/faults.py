"""What can go wrong with a store, in salesmart's words: the one place where boto3's errors are translated.

Each fault says whether to try again. No message holds a key, a password or a signed address.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error, S3UploadFailedError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from salesmart_assets.errors import Permanent, Retryable, Unreachable


class StoreFault(Retryable):
    """The store was busy, or the connection was lost: the same call may work later."""


class BucketFault(Unreachable):
    """This one bucket is missing, or it or its part under a prefix is refused; others of the store may work."""


class ObjectChanged(Retryable):
    """The object at this key is no longer the one that was listed: look at the listing again."""


class ObjectGone(Permanent):
    """The object, or this version of it, is no longer there."""


class ObjectDenied(Permanent):
    """The store refuses this one object (no right to it, or it lies in cold storage); others may work."""


_LATER = "It is tried again by the next run."
_CHECK_KEYS = "Check SALESMART_S3_ACCESS_KEY_ID, SALESMART_S3_SECRET_ACCESS_KEY, SALESMART_S3_REGION and the rights they give."
# The store's code, the kind of fault, and the rest of the sentence "Reading s3://bucket/key …".
_BY_CODE: tuple[tuple[set[str], type[Retryable | Permanent], str], ...] = (
    (
        {"NoSuchBucket"},
        BucketFault,
        "failed: the bucket does not exist. Create it, or name one that does: by SALESMART_LANDING, or by `salesmart sources`.",
    ),
    (
        {"PermanentRedirect", "301", "AllAccessDisabled"},
        BucketFault,
        "was refused: the bucket is in another region or closed. Check SALESMART_S3_REGION and SALESMART_S3_ENDPOINT_URL.",
    ),
    ({"NoSuchKey", "NoSuchVersion", "NotFound", "404"}, ObjectGone, "failed: it is not there. If its data is needed, land it again."),
    (
        {"PreconditionFailed", "412", "ConditionalRequestConflict"},
        ObjectChanged,
        "failed: it was overwritten meanwhile. The new object is picked up by itself.",
    ),
    (
        {
            *("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests"),
            *("RequestLimitExceeded", "BandwidthLimitExceeded", "OperationAborted", "500", "502", "503", "504", "429"),
        },
        StoreFault,
        f"failed for now: the store is busy. {_LATER}",
    ),
    (
        {
            *("AccountProblem", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
            *("AuthorizationHeaderMalformed", "RequestTimeTooSkewed", "TokenRefreshRequired", "401"),
        },
        Unreachable,
        f"was refused. {_CHECK_KEYS}",
    ),
    ({"InvalidObjectState"}, ObjectDenied, "was refused: it lies in cold storage. Restore it there; the next run then reads it."),
)
# Refused: the right to one object may be missing where all others can be had.
_DENIED = {"AccessDenied", "403"}
_NO_KEYS = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError, ProfileNotFound)


def code_of(error: BaseException) -> str:
    """The store's error code, such as NoSuchKey; empty if the error did not come from the store."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


@contextmanager
def translated(doing: str, bucket: str, key: str = "", *, under: str = "") -> Iterator[None]:
    """Raise what boto3 raises inside as one of the faults here, or as `Unreachable` or `Permanent`.

    `doing` completes "… failed", such as "Reading". What is done concerns the object at `key`, or else the whole bucket or its
    prefix `under`: a refusal then means all of it, and is a `BucketFault`.
    """
    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error, HTTPError, ConnectionError, TimeoutError) as error:
        raise _fault(error, doing, f"s3://{bucket}/{key or under}".rstrip("/"), one_object=bool(key)) from error


def _fault(error: BaseException, doing: str, where: str, *, one_object: bool) -> Retryable | Permanent:
    if isinstance(error, S3UploadFailedError) and error.__context__ is not None:
        error = error.__context__  # boto3 hides the store's answer behind its own error
    code = code_of(error)
    for codes, known, sentence in _BY_CODE:
        if code in codes:
            return known(f"{doing} {where} {sentence} (The store answered {code}.)")
    if code in _DENIED:
        refused = ObjectDenied if one_object else BucketFault
        return refused(f"{doing} {where} was refused. {_CHECK_KEYS} (The store answered {code}.)")
    if code:
        return Permanent(f"{doing} {where} failed: the store answered {code}. Run `salesmart doctor` to check the store.")
    return _without_answer(error, f"{doing} {where} failed: ")


def _without_answer(error: BaseException, failed: str) -> Retryable | Permanent:
    kind = type(error).__name__
    if isinstance(error, _NO_KEYS):
        return Unreachable(
            f"{failed}there are no usable credentials ({kind}). Set SALESMART_S3_ACCESS_KEY_ID and SALESMART_S3_SECRET_ACCESS_KEY, "
            "or provide them by the standard AWS credential chain."
        )
    if isinstance(error, SSLError):
        return Unreachable(f"{failed}the endpoint's TLS certificate is not trusted. Check SALESMART_S3_ENDPOINT_URL.")
    if isinstance(error, (NoConnectionError, HTTPClientError, IncompleteReadError, HTTPError, ConnectionError, TimeoutError)):
        return StoreFault(f"{failed}the connection was lost ({kind}). {_LATER}")
    if isinstance(error, ResponseParserError):
        return StoreFault(f"{failed}the answer came incomplete. {_LATER}")
    return Permanent(f"{failed}{kind}. Check the key's name and the SALESMART_S3_… settings.")
