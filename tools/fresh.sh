#!/usr/bin/env bash
# Fail when generating changes a file: the tree must hold what the code makes.
# usage: fresh.sh FILE… -- COMMAND…
set -euo pipefail
files=()
while [ "$1" != -- ]; do
  files+=("$1")
  shift
done
shift
before=$(cksum "${files[@]}")
"$@"
after=$(cksum "${files[@]}")
[ "$before" = "$after" ] || {
  echo "generated files were out of date and are fresh now; commit them:" >&2
  diff <(echo "$before") <(echo "$after") | sed -n 's/^> [0-9]* [0-9]* /  /p' >&2
  exit 1
}
