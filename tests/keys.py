"""Keys and certificates, made anew for each run: nothing secret stands in the repository."""

import base64
import hashlib
import ipaddress
import random
from collections.abc import Sequence
from dataclasses import dataclass

SMALL = [n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2))]
RSA = bytes.fromhex("300d06092a864886f70d0101010500")
SHA256_WITH_RSA = bytes.fromhex("300d06092a864886f70d01010b0500")
SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")  # what stands before the digest that is signed
COMMON_NAME = bytes.fromhex("0603550403")
BASIC, USAGE, SUBJECT_KEY, AUTHORITY_KEY, NAMES = 19, 15, 14, 35, 17  # extensions: 2.5.29.…


@dataclass(frozen=True)
class Key:
    """An RSA key."""

    n: int
    e: int
    d: int
    p: int
    q: int

    @property
    def pem(self) -> str:
        """The private key (PKCS #1)."""
        n, e, d, p, q = self.n, self.e, self.d, self.p, self.q
        whole = _sequence(_integer(0, n, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)))
        return _pem("RSA PRIVATE " + "KEY", whole)

    @property
    def public(self) -> bytes:
        return _sequence(RSA + _tagged(3, b"\0" + _sequence(_integer(self.n, self.e))))

    @property
    def public_text(self) -> str:
        """As DNS has it."""
        return base64.b64encode(self.public).decode()

    @property
    def id(self) -> bytes:
        return hashlib.sha1(self.public, usedforsecurity=False).digest()

    def sign(self, content: bytes) -> bytes:
        size = (self.n.bit_length() + 7) // 8
        digest = SHA256 + hashlib.sha256(content).digest()
        padded = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
        return pow(int.from_bytes(padded), self.d, self.n).to_bytes(size)


def rsa_key(bits: int = 1024) -> Key:
    dice = random.SystemRandom()
    e = 65537
    while True:
        p, q = _prime(bits // 2, dice), _prime(bits // 2, dice)
        if p != q and (p - 1) * (q - 1) % e:
            return Key(p * q, e, pow(e, -1, (p - 1) * (q - 1)), p, q)


def authority(key: Key) -> str:
    """The certificate of somebody who vouches for others, as PEM."""
    ours = [
        _extension(BASIC, _sequence(_tagged(1, b"\xff")), critical=True),
        _extension(USAGE, b"\3\2\2\4", critical=True),
    ]
    return _certificate("Test authority", key, key, ours)


def certificate(key: Key, by: Key, hosts: Sequence[str]) -> str:
    """The certificate of a server with these names or addresses, vouched for with the key `by`, as PEM."""
    names = b"".join(
        _tagged(0x87, ipaddress.ip_address(host).packed) if host[0].isdigit() else _tagged(0x82, host.encode())
        for host in hosts
    )
    ours = [_extension(NAMES, _sequence(names)), _extension(AUTHORITY_KEY, _sequence(_tagged(0x80, by.id)))]
    return _certificate(hosts[0], key, by, ours)


def _certificate(name: str, key: Key, by: Key, extensions: Sequence[bytes]) -> str:
    own = _extension(SUBJECT_KEY, _tagged(4, key.id))
    times = _sequence(b"".join(_tagged(0x17, year + b"0101000000Z") for year in (b"20", b"49")))
    content = _sequence(
        _tagged(0xA0, _integer(2))
        + _integer(random.SystemRandom().getrandbits(60))
        + SHA256_WITH_RSA
        + _name("Test authority")
        + times
        + _name(name)
        + key.public
        + _tagged(0xA3, _sequence(b"".join([*extensions, own])))
    )
    return _pem("CERTIFICATE", _sequence(content + SHA256_WITH_RSA + _tagged(3, b"\0" + by.sign(content))))


def _extension(number: int, content: bytes, *, critical: bool = False) -> bytes:
    return _sequence(b"\x06\x03\x55\x1d" + bytes([number]) + b"\1\1\xff" * critical + _tagged(4, content))


def _name(text: str) -> bytes:
    return _sequence(_tagged(0x31, _sequence(COMMON_NAME + _tagged(12, text.encode()))))


def _pem(kind: str, content: bytes) -> str:
    return f"-----BEGIN {kind}-----\n{base64.encodebytes(content).decode()}-----END {kind}-----\n"


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
