"""Audits an export of the ledger without a line of Bailiwick's code: RFC 6962, C2SP tlog-tiles and signed-note, by the book.

    audit.py DIR VKEY            verifies the export and prints what it holds
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def require(condition: bool, what: str) -> None:
    if not condition:
        raise SystemExit(f"refused: {what}")


def verified_checkpoint(note: str, vkey: str) -> tuple[int, bytes]:
    """Size and root of a checkpoint, after its signature is verified (C2SP signed-note, tlog-checkpoint)."""
    name, key_hash, encoded = vkey.split("+", 2)
    key = base64.b64decode(encoded)
    require(key[0] == 1 and sha256(name.encode() + b"\n" + key)[:4].hex() == key_hash, "the verifier key")
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    ours = [line.split(" ") for line in signatures.splitlines() if line.startswith(f"\N{EM DASH} {name} ")]
    raw = [base64.b64decode(line[2]) for line in ours]
    raw = [signature[4:] for signature in raw if signature[:4].hex() == key_hash]
    require(len(raw) > 0, "the checkpoint is not signed")
    for signature in raw:
        Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature, text.encode())
    origin, size, root = text.splitlines()[:3]
    require(origin == name, "the checkpoint is of another log")
    return int(size), base64.b64decode(root)


def root_of(hashes: list[bytes]) -> bytes:
    """Merkle tree hash of leaf hashes (RFC 6962, section 2.1)."""
    if len(hashes) <= 1:
        return hashes[0] if hashes else sha256(b"")
    middle = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\x01" + root_of(hashes[:middle]) + root_of(hashes[middle:]))


def tile_path(level: str, index: int, width: int) -> str:
    digits = f"{index:03d}"
    digits = digits.zfill(-len(digits) % 3 + len(digits))
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{name}" + (f".p/{width}" if width < 256 else "")


def read_entries(directory: Path, size: int) -> list[bytes]:
    entries = []
    for index in range((size + 255) // 256):
        data = (directory / tile_path("entries", index, min(256, size - index * 256))).read_bytes()
        while data:
            length = int.from_bytes(data[:2], "big")
            require(len(data) >= 2 + length, f"bundle {index} is cut short")
            entries.append(data[2 : 2 + length])
            data = data[2 + length :]
    require(len(entries) == size, "the number of entries")
    return entries


def check_tiles(directory: Path, leaves: list[bytes]) -> int:
    """Every published tile holds exactly the hashes that the entries give."""
    level, row, tiles = 0, leaves, 0
    while row:
        for index in range((len(row) + 255) // 256):
            part = row[index * 256 : index * 256 + 256]
            require(
                (directory / tile_path(str(level), index, len(part))).read_bytes() == b"".join(part),
                f"tile {level}/{index}",
            )
            tiles += 1
        row = [root_of(row[at : at + 256]) for at in range(0, len(row) - 255, 256)]
        level += 1
    return tiles


def check_receipts(directory: Path, entries: list[bytes]) -> tuple[int, int]:
    """Every receipt opens its entry's commitment, byte for byte, or says that it was erased."""
    opened = erased = 0
    lines = (directory / "receipts.jsonl").read_bytes().split(b"\n")
    require(lines.pop() == b"" and len(lines) == len(entries), "the number of receipts")
    for index, (line, entry) in enumerate(zip(lines, entries)):
        receipt = json.loads(line)
        require(receipt["index"] == index, f"receipt {index} is out of order")
        if receipt.get("erased"):
            erased += 1
            continue
        payload = line[line.index(b'"payload":') + len(b'"payload":') : -1]
        salt = base64.urlsafe_b64decode(receipt["salt"] + "=")
        commit = sha256(b"bailiwick/receipt/v1\0" + salt + payload)
        stated = base64.urlsafe_b64decode(json.loads(entry)["commit"] + "=")
        require(len(salt) == 32 and commit == stated, f"receipt {index} does not open its entry")
        opened += 1
    return opened, erased


def main() -> None:
    directory, vkey = Path(sys.argv[1]), sys.argv[2]
    size, root = verified_checkpoint((directory / "checkpoint").read_text(), vkey)
    entries = read_entries(directory, size)
    leaves = [sha256(b"\x00" + entry) for entry in entries]
    require(root_of(leaves) == root, "the entries do not lead to the signed root")
    tiles = check_tiles(directory, leaves)
    history = directory / "checkpoints.jsonl"
    older = [verified_checkpoint(json.loads(line), vkey) for line in history.read_text().splitlines()] if history.exists() else []
    for older_size, older_root in older:
        require(root_of(leaves[:older_size]) == older_root, f"the log of size {older_size} was rewritten")
    opened, erased = check_receipts(directory, entries)
    print(f"{size} entries, {tiles} tiles, {len(older)} older checkpoints, {opened} receipts opened, {erased} erased")


if __name__ == "__main__":
    main()
