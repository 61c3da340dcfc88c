"""Message framing around a datum, and the primitives for crafting datums by hand."""

import zlib
from typing import Any
from uuid import UUID

import fastavro.schema

EMPTY = 0xC15D213AA4D7A795


def crc64(data: bytes) -> int:
    """Returns the CRC-64-AVRO checksum, implemented as in the specification."""
    table = []
    for index in range(256):
        for _ in range(8):
            index = (index >> 1) ^ (EMPTY & -(index & 1))
        table.append(index)
    fingerprint = EMPTY
    for byte in data:
        fingerprint = (fingerprint >> 8) ^ table[(fingerprint ^ byte) & 0xFF]
    return fingerprint


def fingerprint(schema: Any) -> bytes:
    """Returns the eight-byte fingerprint of the single-object header.

    The canonical form is the one of fastavro, which equals that of the Java library. Python's avro and Rust's apache-avro 0.22
    do not strip everything that the specification says to strip, for example `{"type":"long"}` for a timestamp, and therefore
    compute a different fingerprint.
    """
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    return crc64(canonical.encode("utf-8")).to_bytes(8, "little")


assert crc64(b'"int"') == 0x7275D51A3F395C8F


def single_object(schema: Any, datum: bytes) -> bytes:
    return b"\xc3\x01" + fingerprint(schema) + datum


def confluent(schema_id: int, datum: bytes) -> bytes:
    return b"\x00" + schema_id.to_bytes(4, "big") + datum


def confluent_v1(schema_id: int | str) -> bytes:
    """Returns the value of the message attribute `__value_schema_id`."""
    return b"\x00" + schema_id.to_bytes(4, "big") if isinstance(schema_id, int) else b"\x01" + UUID(schema_id).bytes


def glue(version_id: str, datum: bytes, compressed: bool) -> bytes:
    payload = zlib.compress(datum) if compressed else datum
    return b"\x03" + (b"\x05" if compressed else b"\x00") + UUID(version_id).bytes + payload


def zigzag(value: int) -> bytes:
    """Encodes an int or long. Beyond 64 bits, the result is a varint that no library writes."""
    rest = (value << 1) ^ (value >> 63)
    return varint(rest)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value: str | bytes) -> bytes:
    raw = value.encode("utf-8") if isinstance(value, str) else value
    return zigzag(len(raw)) + raw


def container(metadata: dict[str, bytes], blocks: list[tuple[int, bytes]], sync: bytes, magic: bytes = b"Obj\x01") -> bytes:
    """Assembles a container file. The data of the blocks must already be compressed."""
    entries = b"".join(text(key) + text(value) for key, value in metadata.items())
    out = magic + (zigzag(len(metadata)) + entries if metadata else b"") + zigzag(0) + sync
    return out + b"".join(zigzag(count) + text(data) + sync for count, data in blocks)
