#!/usr/bin/env bash
# Say what runs. usage: status.sh [kafka|cassandra|registry|mlserver|all]…; fails unless all of it is healthy.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
names=$(servers "$@") || die "usage: status.sh [kafka|cassandra|registry|mlserver|all]…"
healthy=0
for name in $names; do
  port=$(port_of "$name")
  if ! alive "$name"; then
    echo "$name does not run"
    healthy=1
  elif ! serves "$name"; then
    echo "$name runs and does not answer on port $port"
    healthy=1
  else
    pid=$(cat "$LOCAL_DIR/$name/pid")
    echo "$name answers on 127.0.0.1:$port (pid $pid, $(($(ps -o rss= -p "$pid") / 1024)) MiB)"
  fi
done
exit $healthy
