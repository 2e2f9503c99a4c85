"""Whether a webhook was signed by the service (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import Mapping, Optional, Union

from ._api_error import OrchestratorError

_TOLERANCE_SECONDS = 300


class WebhookVerificationError(OrchestratorError):
    """The message is not signed with this secret, or too old, or too new."""


def verify_webhook(
    secret: str, headers: Mapping[str, str], body: Union[bytes, str], now: Optional[float] = None
) -> None:
    """Raises unless it is. `body` is what came, byte for byte: JSON that was written anew is something else."""
    named = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, timestamp = named["webhook-id"], named["webhook-timestamp"]
        signatures = named["webhook-signature"].split(" ")
        seconds = int(timestamp)
    except (KeyError, ValueError):
        raise WebhookVerificationError("webhook-id, webhook-timestamp or webhook-signature is missing") from None
    if abs((time.time() if now is None else now) - seconds) > _TOLERANCE_SECONDS:
        raise WebhookVerificationError("the timestamp is too far from now")
    data = body.encode() if isinstance(body, str) else body
    signed = f"{message_id}.{timestamp}.".encode() + data
    expected = b"v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest())
    # All of them are compared, in constant time.
    if not any([hmac.compare_digest(expected, one.encode()) for one in signatures]):
        raise WebhookVerificationError("no signature is by this secret")


def _key(secret: str) -> bytes:
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret[len("whsec_") :], validate=True)
    except binascii.Error:
        raise WebhookVerificationError("the secret is not base64 behind whsec_") from None
