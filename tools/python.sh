#!/usr/bin/env bash
# Install the packages of a list, by default those that the Python examples
# need, into a folder, on first use; PYTHONPATH=FOLDER python3 finds them. Where
# a list has hashes, pip holds all of it to them.
# usage: python.sh FOLDER [LIST]
set -euo pipefail
folder=$1
wants=${2:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/examples/producers/python/requirements.txt}
want=$(cksum <"$wants")
[ "$(cat "$folder/.installed" 2>/dev/null || true)" != "$want" ] || exit 0
python3 -m pip --version >/dev/null 2>&1 || {
  echo "python3 with pip is missing, which programs in Python are run with: install it (Debian: apt-get install python3-pip, macOS: brew install python)" >&2
  exit 1
}
rm -rf "$folder"
PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
  --target "$folder" -r "$wants"
echo "$want" >"$folder/.installed"
