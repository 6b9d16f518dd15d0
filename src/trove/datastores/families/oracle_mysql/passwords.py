"""What the plugin caching_sha2_password stores, so that a password itself is never in a statement, a log or a process list.

Source: "Unix crypt using SHA-256 and SHA-512", U. Drepper, with 5000 rounds and a salt of 20 characters, as MySQL does it.
"""

import hashlib
import secrets
import string

_ALPHABET = "./" + string.digits + string.ascii_uppercase + string.ascii_lowercase
_SALT_CHARACTERS = 20
_ROUNDS = 5000
_ORDER = (
    (0, 10, 20),
    (21, 1, 11),
    (12, 22, 2),
    (3, 13, 23),
    (24, 4, 14),
    (15, 25, 5),
    (6, 16, 26),
    (27, 7, 17),
    (18, 28, 8),
    (9, 19, 29),
)


def password_hash(password: str, salt: str | None = None) -> str:
    """Return the hash of a password, with a salt of its own unless one is given."""
    salt = salt or "".join(secrets.choice(_ALPHABET) for _ in range(_SALT_CHARACTERS))
    return f"$A$005${salt}{_encoded(_digest(password.encode(), salt.encode()))}"


def salt_of(password: str) -> str:
    """Return a salt that is always the same for a password. For passwords that nobody can guess."""
    return "".join(_ALPHABET[byte & 63] for byte in hashlib.sha256(b"salt of " + password.encode()).digest()[:_SALT_CHARACTERS])


def identified(password: str) -> str:
    """Return the clause that gives an account this password."""
    return f"IDENTIFIED WITH caching_sha2_password AS '{password_hash(password)}'"


def _digest(key: bytes, salt: bytes) -> bytes:
    second = hashlib.sha256(key + salt + key).digest()
    first = hashlib.sha256(key + salt + _repeated(second, len(key)))
    length = len(key)
    while length:
        first.update(second if length & 1 else key)
        length >>= 1
    digest = first.digest()
    keys = _repeated(hashlib.sha256(key * len(key)).digest(), len(key))
    salts = _repeated(hashlib.sha256(salt * (16 + digest[0])).digest(), len(salt))
    for number in range(_ROUNDS):
        odd = number & 1
        words = (keys if odd else digest) + (salts if number % 3 else b"") + (keys if number % 7 else b"")
        digest = hashlib.sha256(words + (digest if odd else keys)).digest()
    return digest


def _repeated(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _encoded(digest: bytes) -> str:
    words = [_letters(digest[high] << 16 | digest[middle] << 8 | digest[low], 4) for high, middle, low in _ORDER]
    return "".join(words) + _letters(digest[31] << 8 | digest[30], 3)


def _letters(value: int, count: int) -> str:
    return "".join(_ALPHABET[value >> 6 * place & 63] for place in range(count))
