"""The secret that makes coupon codes impossible to guess: made once, kept in the home, never shown."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_BYTES = 32


def coupon_key(secret: str | None, home: Path) -> bytes:
    """The key of the coupons' HMAC: the secret of the settings, else a file of the home that is made on first use.

    Whoever loses it gets other codes when a month is rebuilt; keep it with the backups.
    """
    if secret:
        return secret.encode()
    path = home / "secrets" / "coupon.key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _create_once(path, secrets.token_bytes(_BYTES))
    return path.read_bytes()


def _create_once(path: Path, content: bytes) -> None:
    """Write a new file, whole; if another process was first, its file stays."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        scratch.unlink()
