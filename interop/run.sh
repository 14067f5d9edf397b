#!/usr/bin/env bash
# Runs every suite here, or those named: interop/run.sh adc jose. A suite is a directory with a run.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export BAILIWICK_CACHE="${BAILIWICK_CACHE:-$HOME/.cache/bailiwick}"
suites=("$@")
if [ "${#suites[@]}" -eq 0 ]; then suites=(*/run.sh); suites=("${suites[@]%/run.sh}"); fi
failed=()
for suite in "${suites[@]}"; do
  suite="${suite%/}"
  printf '\n== %s\n' "$suite"
  "./$suite/run.sh" || failed+=("$suite")
done
printf '\n%s suites, %s failed%s\n' "${#suites[@]}" "${#failed[@]}" "${failed[*]:+: ${failed[*]}}"
[ "${#failed[@]}" -eq 0 ]
