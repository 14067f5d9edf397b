#!/usr/bin/env bash
# An auditor who shares no code with us verifies exports of the ledger at sizes around the edges of tiles, and refuses one
# with a flipped bit beside each intact one.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="${BAILIWICK_VENV:-$HOME/.cache/bailiwick/venv}/bin/python"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
cd "$here/../.."

passed=0
failed=0
verdict() {
  if [ "$1" = "$2" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "$3: $1 instead of $2"; fi
}

for size in 0 1 255 256 257 700 66000; do
  export="$scratch/$size"
  vkey="$(cargo run --locked --quiet -p bailiwick-ledger --example sample_export -- "$export" "$size")"
  answer=verified
  "$python" "$here/audit.py" "$export" "$vkey" || answer=refused
  verdict "$answer" verified "$size receipts"
  [ "$size" -gt 0 ] || continue
  for file in "$export"/checkpoint "$export"/receipts.jsonl "$(find "$export/tile/entries" -type f | sort | head -1)" \
    "$(find "$export/tile/0" -type f | sort | tail -1)"; do
    cp "$file" "$scratch/intact"
    "$python" -c 'import sys; from pathlib import Path; p = Path(sys.argv[1]); b = bytearray(p.read_bytes())
b[len(b) // 2] ^= 1; p.write_bytes(b)' "$file"
    answer=verified
    "$python" "$here/audit.py" "$export" "$vkey" > /dev/null 2>&1 || answer=refused
    verdict "$answer" refused "$size receipts, changed ${file#"$export"/}"
    cp "$scratch/intact" "$file"
  done
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
