"""A digest of a row's content as a number."""

from __future__ import annotations

import hashlib


def digest_of(content: bytes) -> int:
    """A digest of bytes as a number of 64 bits, never 0."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), signed=True) or 1
