#!/usr/bin/env bash
# Take a server away for a while: it keeps its data and its port, accepts
# connections and answers nothing. usage: freeze.sh kafka|cassandra|registry|mlserver SECONDS
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
usage="usage: freeze.sh kafka|cassandra|registry|mlserver SECONDS"
[[ $# -eq 2 && $1 =~ ^(kafka|cassandra|registry|mlserver)$ && $2 =~ ^[0-9]+(\.[0-9]+)?$ ]] || die "$usage"
alive "$1" || die "$1 does not run: start it with up.sh $1"
pid=$(cat "$LOCAL_DIR/$1/pid")
trap 'kill -CONT "$pid" 2>/dev/null || true' EXIT # it must come back, whatever happens
trap 'exit 130' INT
trap 'exit 143' TERM
kill -STOP "$pid"
sleep "$2" &
wait $! # a signal ends this at once, which it does not do to a sleep in the foreground
