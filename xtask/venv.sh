#!/usr/bin/env bash
# Makes a Python environment with what DIR/requirements.txt names (default: this folder's, what the tests need), what
# DIR/requirements-no-deps.txt names, if there, and the SDK of this checkout. Does only what is not so already: the
# environment is shared by the checkouts of a machine, so each looks at what is there, not at what it once did.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${BAILIWICK_VENV:-$HOME/.cache/bailiwick/venv}"
dir="${1:-$root/xtask}"
bare="$dir/requirements-no-deps.txt"

pip() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }
sdk_is_ours() {
  (cd / && "$venv/bin/python" -c 'import bailiwick, sys; sys.exit(not bailiwick.__file__.startswith(sys.argv[1]))' "$root/sdk/") 2>/dev/null
}

# A version manager may offer a name that does not run: take the first that does.
python=""
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python="$candidate"
    break
  fi
done
[ -n "$python" ] || { echo "Python 3.11 or later is needed" >&2; exit 1; }

made_of="$(cat "$dir"/requirements*.txt "$root/sdk/python/pyproject.toml" | sha256sum | cut -d' ' -f1)"
stamp="$venv/.has-$(basename "$dir")"
if ! "$venv/bin/python" -m pip --version > /dev/null 2>&1 || [ "$(cat "$stamp" 2>/dev/null)" != "$made_of" ]; then
  echo "installing what $(basename "$dir") needs into $venv (once)"
  "$python" -m venv "$venv"
  pip -r "$dir/requirements.txt"
  [ ! -e "$bare" ] || pip --no-deps -r "$bare"
  pip -e "$root/sdk/python"
  echo "$made_of" > "$stamp"
fi
sdk_is_ours || pip -e "$root/sdk/python"
