#!/usr/bin/env bash
# Check the project's shell scripts with the pinned shellcheck, which is
# installed into a folder on first use. usage: shellcheck.sh FOLDER SCRIPT…
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$1
shift
for script in "$@"; do
  bash -n "$script"
done
want=$(cksum <"$here/requirements.txt")
if [ "$(cat "$folder/.installed" 2>/dev/null || true)" != "$want" ]; then
  if ! python3 -m pip --version >/dev/null 2>&1; then
    echo "shellcheck: not run, because installing it needs python3 with pip; the scripts were parsed only" >&2
    exit 0
  fi
  rm -rf "$folder"
  PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --target "$folder" -r "$here/requirements.txt"
  echo "$want" >"$folder/.installed"
fi
"$folder/bin/shellcheck" --shell bash -x -P SCRIPTDIR "$@"
