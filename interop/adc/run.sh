#!/usr/bin/env bash
# Agreement, verdict and reason, with the vectors that attenu-guard publishes for draft-asor-wimse-agent-delegation-chain.
# They are downloaded once, by hash, and read only: nothing of that package is imported or run.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${BAILIWICK_CACHE:-$HOME/.cache/bailiwick}/adc"
vectors="$cache/attenu_guard/vectors"

if [ ! -e "$cache/complete" ]; then
  mkdir -p "$cache"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
    --dest "$cache" -r "$here/requirements.txt"
  python3 -m zipfile -e "$cache"/attenu_guard-*.whl "$cache"
  touch "$cache/complete"
fi

cd "$here/../.."
for directory in "$vectors" "$vectors/draft02"; do
  cargo run --locked --quiet -p bailiwick-core --example adc_vectors -- "$directory"
done | python3 "$here/compare.py" "$vectors" "$vectors/draft02"
