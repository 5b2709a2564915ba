"""Who calls: an API key, or a token that a key signs for each call (docs/ACCESS.md)."""
from __future__ import annotations

import base64
import json
import pathlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from .errors import TallystickError
from .voucher import AgentKey

LIFE = 60


@dataclass(frozen=True)
class KeyFile:
    """What `tallystick access keygen` writes: an identity's name and secret."""

    name: str
    secret: str


# An API key (`tsk_...`) or another ready token, or a key that signs a token for each call.
Credential = str | KeyFile


def read_credential(path: str) -> Credential:
    """From a file: an API key or token, or what `tallystick access keygen` wrote."""
    text = pathlib.Path(path).read_text(encoding="utf-8").strip()
    if not text.startswith("{"):
        return text
    try:
        kept = json.loads(text)
        identity, secret = kept["identity"], kept["secret"]
        AgentKey(secret)
    except (ValueError, KeyError, TypeError, AttributeError, TallystickError) as error:
        raise TallystickError(f"{path} is no key of an identity: give the file that `tallystick access keygen` wrote, or one "
                              "with an API key alone") from error
    return KeyFile(str(identity), secret)


def sign_token(key: AgentKey, subject: str, network: bytes, now: float | None = None) -> str:
    """A JSON Web Token that says `subject`, signed with Ed25519: good for a minute, for this network alone."""
    at = int(time.time() if now is None else now)

    def part(value: object) -> str:
        return _base64url(json.dumps(value, separators=(",", ":")).encode())

    claims = {"sub": subject, "aud": network.hex(), "iat": at, "exp": at + LIFE}
    body = f"{part({'alg': 'EdDSA', 'typ': 'JWT'})}.{part(claims)}"
    return f"{body}.{_base64url(key.sign(body.encode()))}"


def bearer(credential: Credential, network: Callable[[], bytes]) -> Callable[[], str]:
    """Makes the header for a call; `network` is asked for when a token must be signed."""
    if isinstance(credential, str):
        return lambda: f"Bearer {credential}"
    key = AgentKey(credential.secret)
    return lambda: f"Bearer {sign_token(key, credential.name, network())}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
