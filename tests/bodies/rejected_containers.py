"""Containers that must be rejected: broken framing, incompatible schemas, crafted blocks and decompression bombs."""

import bz2
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import cramjam
import zstandard

import samples as s
from expected import datum_of
from framing import container, text, varint, zigzag
from implementations import FASTAVRO, SYNC, fastavro_container, fastavro_records
from rejection import HUGE, Line, case
from schema import Version

OPTIONAL = {"type": "record", "name": "bodies.Optional", "fields": [{"name": "note", "type": ["null", "string"]}]}
GOOD = datum_of(Version("optional", 1), {"note": "a note of some length"})
SCHEMA = json.dumps(OPTIONAL).encode()
META = {"avro.codec": b"null", "avro.schema": SCHEMA}
BROKEN = "invalid_container"
MIB = 1 << 20


def container_cases() -> Iterator[Line]:
    for name, framed, reasons in [*frame_cases(), *block_cases(), *schema_cases(), *codec_cases(), *bomb_cases()]:
        yield case(f"container/{name}", "container", framed, *reasons)
    good, bad = s.order(1), s.order(2) | {"total_amount": float("nan")}
    mixed = fastavro_container(Version("order", 1).json, "snappy", [[good, good], [bad, good]])
    yield case("container/one_bad_record", "container", mixed, "number_out_of_range", made_by=FASTAVRO)


Part = tuple[str, bytes, tuple[str, ...]]


def frame_cases() -> Iterator[Part]:
    whole = container(META, [(1, GOOD), (1, GOOD)], SYNC)
    assert len(fastavro_records(whole)) == 2
    header = len(container(META, [], SYNC))
    yield "magic_only", whole[:4], (BROKEN, "invalid_header")
    yield "version_two", container(META, [(1, GOOD)], SYNC, magic=b"Obj\x02"), ("unrecognized_format", BROKEN, "invalid_header")
    yield "magic_lower_case", b"obj\x01" + whole[4:], ("unrecognized_format", BROKEN)
    yield "metadata_cut", whole[:40], (BROKEN, "invalid_header")
    yield "metadata_count_huge", b"Obj\x01" + zigzag(HUGE) + whole[5:], (BROKEN, "invalid_header", "limit_exceeded")
    yield "metadata_count_lowest", b"Obj\x01" + zigzag(-(2**63)) + zigzag(0) + whole[5:], (BROKEN, "invalid_header", "limit_exceeded")
    yield "metadata_key_length_huge", b"Obj\x01" + zigzag(1) + zigzag(HUGE), (BROKEN, "invalid_header", "limit_exceeded")
    yield "metadata_key_length_negative", b"Obj\x01" + zigzag(1) + zigzag(-5) + whole[5:], (BROKEN, "invalid_header")
    yield "sync_cut", whole[: header - 1], (BROKEN, "invalid_header")
    yield "block_cut", whole[: header + 20], (BROKEN, "truncated")
    yield "block_without_size", whole[: header + 1], (BROKEN, "truncated")
    yield "block_without_sync", whole[:-16], (BROKEN, "truncated")
    yield "last_sync_cut", whole[:-1], (BROKEN, "truncated")
    yield "sync_flipped", whole[:-1] + bytes([whole[-1] ^ 1]), (BROKEN,)
    first = len(container(META, [(1, GOOD)], SYNC))
    yield "first_sync_flipped", whole[: first - 16] + bytes([whole[first - 16] ^ 0x80]) + whole[first - 15 :], (BROKEN,)
    yield "trailing_byte", whole + b"\x00", (BROKEN, "trailing_bytes", "truncated")
    yield "trailing_container", whole + whole, (BROKEN, "trailing_bytes", "truncated")


def block_cases() -> Iterator[Part]:
    def framed(count: int, data: bytes, size: int | None = None) -> bytes:
        block = zigzag(count) + zigzag(len(data) if size is None else size) + data + SYNC
        return container(META, [], SYNC) + block

    yield "count_too_small", framed(1, GOOD * 2), (BROKEN, "trailing_bytes")
    yield "count_too_large", framed(2, GOOD), (BROKEN, "truncated")
    yield "count_zero_with_data", framed(0, GOOD), (BROKEN, "trailing_bytes")
    yield "count_negative", framed(-1, GOOD), (BROKEN,)
    yield "count_lowest", framed(-(2**63), GOOD), (BROKEN,)
    yield "count_huge", framed(HUGE, GOOD), (BROKEN, "truncated", "limit_exceeded")
    yield "size_negative", framed(1, GOOD, size=-1), (BROKEN,)
    yield "size_huge", framed(1, GOOD, size=HUGE), (BROKEN, "truncated", "limit_exceeded")
    yield "size_too_small", framed(1, GOOD, size=len(GOOD) - 1), (BROKEN, "truncated")
    yield "datum_malformed", framed(1, zigzag(-1) + GOOD), ("malformed_datum",)
    nothing = json.dumps({"type": "record", "name": "bodies.Optional", "fields": []}).encode()
    for name, count in (("huge", HUGE), ("a_billion", 10**9)):
        # Records of zero bytes: the size of the input does not limit their number.
        yield f"empty_records_{name}", container({"avro.schema": nothing}, [(count, b"")], SYNC), ("limit_exceeded",)


def schema_cases() -> Iterator[Part]:
    def framed(schema: Any) -> bytes:
        return container({"avro.schema": schema if isinstance(schema, bytes) else json.dumps(schema).encode()}, [(1, GOOD)], SYNC)

    note = {"name": "note", "type": "int"}
    order = {"type": "record", "name": "Order", "fields": [{"name": "order_id", "type": "string"}]}
    enum = {"type": "enum", "name": "bodies.Optional", "symbols": ["A"]}
    incompatible = ("incompatible_schema",)
    yield "no_schema", container({"avro.codec": b"null"}, [(1, GOOD)], SYNC), (BROKEN,)
    yield "no_metadata", container({}, [(1, GOOD)], SYNC), (BROKEN,)
    yield "schema_no_json", framed(b'{"type": "record"'), (BROKEN,)
    yield "schema_no_utf8", framed(b'"\xff"'), (BROKEN,)
    yield "schema_invalid", framed({"type": "record", "name": "bodies.Optional"}), (BROKEN,)
    yield "schema_of_unknown_type", framed(OPTIONAL | {"fields": [{"name": "a", "type": "nowhere"}]}), (BROKEN,)
    yield "schema_too_deep", framed(b'{"type":"array","items":' * 400 + b'"int"' + b"}" * 400), (BROKEN, "limit_exceeded", "unknown_schema")
    yield "schema_of_brackets", framed(b"[" * 2_000), (BROKEN, "limit_exceeded")
    yield "schema_unknown_name", framed(OPTIONAL | {"name": "bodies.Nowhere"}), ("unknown_schema",)
    yield "schema_other_namespace", framed(OPTIONAL | {"name": "shop.Optional"}), ("unknown_schema",)
    yield "schema_without_name", framed("long"), ("unknown_schema", "incompatible_schema")
    yield "schema_is_a_union", framed(["null", OPTIONAL]), ("unknown_schema", "incompatible_schema")
    yield "schema_with_another_type", framed(OPTIONAL | {"fields": [note]}), incompatible
    yield "schema_misses_a_field", framed(order), incompatible
    yield "schema_is_an_enum", framed(enum), ("incompatible_schema", "unknown_schema")


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def snappy(data: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(data)) + zlib.crc32(data).to_bytes(4, "big")


def codec_cases() -> Iterator[Part]:
    def framed(codec: str, data: bytes) -> bytes:
        return container({"avro.codec": codec.encode(), "avro.schema": SCHEMA}, [(1, data)], SYNC)

    yield "unknown_codec", framed("brotli", GOOD), (BROKEN,)
    yield "empty_codec", framed("", GOOD), (BROKEN,)
    yield "codec_in_capitals", framed("Deflate", deflate(GOOD)), (BROKEN,)
    packers: dict[str, Callable[[bytes], bytes]] = {
        "deflate": deflate, "snappy": snappy, "zstandard": zstandard.ZstdCompressor().compress, "bzip2": bz2.compress, "xz": lzma.compress,
    }  # fmt: skip
    for codec, pack in packers.items():
        packed = pack(GOOD)
        assert len(fastavro_records(framed(codec, packed))) == 1, codec
        yield f"{codec}_no_data", framed(codec, b""), (BROKEN, "truncated")
        yield f"{codec}_garbage", framed(codec, b"\xff\xfe\xfd" * 10), (BROKEN,)
        yield f"{codec}_cut", framed(codec, packed[: len(packed) // 2]), (BROKEN, "truncated")
        yield f"{codec}_more_data", framed(codec, pack(GOOD + b"\0")), (BROKEN, "trailing_bytes")
        yield f"{codec}_less_data", framed(codec, pack(GOOD[:-1])), (BROKEN, "truncated")
        if codec in ("snappy", "bzip2", "xz"):
            # The other codecs have no checksum.
            at = -1 if codec == "snappy" else len(packed) // 2
            flipped = bytearray(packed)
            flipped[at] ^= 0x10
            yield f"{codec}_flipped", framed(codec, bytes(flipped)), (BROKEN, "truncated", "trailing_bytes", "malformed_datum")
    yield "snappy_checksum", framed("snappy", snappy(GOOD)[:-4] + bytes(4)), (BROKEN,)
    yield "snappy_three_bytes", framed("snappy", b"\0\0\0"), (BROKEN, "truncated")


def bomb_cases() -> Iterator[Part]:
    """Yields small blocks that decompress to a huge size: a valid record with one very long string."""
    schema = {"type": "record", "name": "bodies.Optional", "fields": [{"name": "note", "type": "string"}]}

    def framed(codec: str, data: bytes) -> bytes:
        return container({"avro.codec": codec.encode(), "avro.schema": json.dumps(schema).encode()}, [(1, data)], SYNC)

    def record(size: int) -> bytes:
        return text(b"a" * size)

    limit = ("limit_exceeded",)
    yield "bomb_deflate", framed("deflate", deflate(record(17 * MIB))), limit
    yield "bomb_zstandard", framed("zstandard", zstandard.ZstdCompressor(level=19).compress(record(64 * MIB))), limit
    yield "bomb_bzip2", framed("bzip2", bz2.compress(record(256 * MIB))), limit
    yield "bomb_xz", framed("xz", lzma.compress(record(32 * MIB), preset=6)), limit
    # Declares an uncompressed size of 4 GiB minus one byte, followed by the longest possible copies.
    copies = b"\x00a" + bytes([0xFE, 0x01, 0x00]) * 1000
    yield "bomb_snappy", framed("snappy", varint(2**32 - 1) + copies + bytes(4)), (*limit, BROKEN)
    # A zstandard frame that declares a content size of an exabyte and a window of 2 GiB.
    declared = bytes.fromhex("28b52ffd") + bytes([0xC0, 0xA8]) + HUGE.to_bytes(8, "little") + bytes.fromhex("010000")
    yield "bomb_zstandard_declared", framed("zstandard", declared), (*limit, BROKEN, "truncated")
    # Many blocks, each of which decompresses to an acceptable size on its own.
    one = zstandard.ZstdCompressor(level=19).compress(record(MIB))
    blocks = container({"avro.codec": b"zstandard", "avro.schema": json.dumps(schema).encode()}, [(1, one)] * 40, SYNC)
    yield "bomb_in_blocks", blocks, (*limit, "item_too_large")
