#!/usr/bin/env bash
# Makes the Python environment for the tests, once; again only when what it is made of changed.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${BAILIWICK_VENV:-$HOME/.cache/bailiwick/venv}"

# The package is installed from this checkout: another one needs its own link.
made_of="$( (echo "$root"; cat "$root/xtask/requirements.txt" "$root/sdk/python/pyproject.toml") | sha256sum | cut -c1-16)"
stamp="$venv/.tests-$made_of"
[ -e "$stamp" ] && exit 0

# A version manager may offer a name that does not run: take the first that does.
python=""
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python="$candidate"
    break
  fi
done
[ -n "$python" ] || { echo "Python 3.11 or later is needed" >&2; exit 1; }
echo "installing what the Python tests need into $venv (once)"
"$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r "$root/xtask/requirements.txt"
"$venv/bin/pip" install --quiet --disable-pip-version-check -e "$root/sdk/python"
touch "$stamp"
