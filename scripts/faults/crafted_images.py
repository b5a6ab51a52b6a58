"""Images of at most 1 MB that take a decoder much memory or time, encoded bit by bit."""

import struct
import zlib

# Height and width of 50 megapixels.
SIDE = 7071


def png_with_profile():
    """A PNG of 8×8 pixels with a colour profile that unpacks to a gigabyte."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    packer = zlib.compressobj(9)
    profile = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1000)) + packer.flush()
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(8 * 9))
    chunks = [(b"IHDR", header), (b"iCCP", b"profile\0\0" + profile), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks)


def jpeg_of_many_scans(components=4, scans=98):
    """A progressive JPEG whose scans all refine the coefficients of blocks that are zero."""

    def segment(marker, body):
        return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body

    def table(kind, symbol):
        """A Huffman table with one code, a zero bit."""
        return segment(0xC4, bytes([kind << 4, 1, *[0] * 15, symbol]))

    names = range(1, components + 1)
    frame = struct.pack(">BHHB", 8, SIDE, SIDE, components) + b"".join(bytes([name, 0x11, 0]) for name in names)
    file = b"\xff\xd8" + segment(0xDB, bytes([0, *[1] * 64])) + segment(0xC2, frame)
    file += table(0, 0) + table(1, 0xE0)
    blocks = (-(-SIDE // 8)) ** 2
    # One bit per block for the mean; then runs of 2¹⁴ blocks and the number in 14 bits.
    file += segment(0xDA, bytes([components, *(part for name in names for part in (name, 0)), 0, 0, 0]))
    file += bytes(blocks * components // 8 + 1)
    bits = "".join("0" + format(min(blocks - at, 32767) % (1 << 14), "014b") for at in range(0, blocks, 32767))
    bits += "1" * (-len(bits) % 8)
    runs = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    for scan in range(scans):
        file += segment(0xDA, bytes([1, 1 + scan % components, 0, 1, 63, 0x10])) + runs
    return file + b"\xff\xd9"


def webp_of_many_tables(groups=18_150):
    """A lossless WebP with as many Huffman tables as fit, each with codes of ten bits."""
    bits = []

    def put(value, count):
        """A number, lowest bit first."""
        bits.append(format(value, f"0{count}b")[::-1])

    def put_one():
        """A table with one symbol, whose code has no bits."""
        put(0b0001, 4)

    def put_two(symbol):
        """A table with symbol 0 and another."""
        put(0b0011, 4)
        put(symbol, 8)

    # Codes of the lengths 1 to 10, the usual ones shorter, and the table with one symbol of each length
    # to 9 and two of length 10.
    lengths = {length: 4 if 6 <= length <= 9 else 3 for length in range(1, 11)}
    codes, code, before = {}, 0, 0
    for symbol in sorted(lengths, key=lambda symbol: (lengths[symbol], symbol)):
        code <<= lengths[symbol] - before
        before = lengths[symbol]
        codes[symbol] = format(code, f"0{before}b")
        code += 1
    order = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10]
    table = "0" + format(len(order) - 4, "04b")[::-1]
    table += "".join(format(lengths.get(symbol, 0), "03b")[::-1] for symbol in order)
    # Eleven symbols.
    table += "1" + format(1, "03b")[::-1] + format(9, "04b")[::-1]
    table += "".join(codes[length] for length in [*range(1, 11), 10])

    for value, count in [(0x2F, 8), (SIDE - 1, 14), (SIDE - 1, 14), (1, 1), (0, 3)]:
        put(value, count)
    # No transform and no cache; groups for blocks of 512×512 pixels.
    put(0b1_0_0, 3)
    put(7, 3)
    put(0, 1)
    last = groups - 1
    put_two(last & 255)
    put_two(last >> 8)
    for _ in range(3):
        put_one()
    # All blocks but the last one have group 0.
    bits.append("00" * ((-(-SIDE // 512)) ** 2 - 1) + "11")
    for group in range(groups):
        for _ in range(5):
            put_one() if group in (0, last) else bits.append(table)
    bits = "".join(bits) + "0" * 16
    data = int(bits[::-1], 2).to_bytes(-(-len(bits) // 8), "little")
    data += bytes(len(data) % 2)
    body = b"WEBPVP8L" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body
