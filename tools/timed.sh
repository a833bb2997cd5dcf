#!/usr/bin/env bash
# Run a step and say how long it took. usage: timed.sh NAME COMMAND…
set -euo pipefail
name=$1
shift
echo "== $name"
begin=$SECONDS
rc=0
"$@" || rc=$?
if [ "$rc" -eq 0 ]; then
  echo "== $name: passed in $((SECONDS - begin)) s"
else
  echo "== $name: FAILED after $((SECONDS - begin)) s" >&2
fi
exit "$rc"
