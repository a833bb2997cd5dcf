#!/usr/bin/env bash
# Run a command with a Kafka, a Cassandra, a schema registry and a model server of its own:
# started before, stopped after, whatever happens. usage: with.sh COMMAND…
# The command finds them in MILLRACE_TEST_KAFKA, MILLRACE_TEST_CQL (host:port),
# MILLRACE_TEST_REGISTRY and MILLRACE_TEST_MLSERVER (URL). What is set already is not started: the
# command uses that. SERVERS="kafka cassandra" starts no others than those.
# The variables of README.md apply, with free ports and another folder, so that
# servers started by hand are left alone.
set -euo pipefail
[ $# -gt 0 ] || {
  echo "usage: with.sh COMMAND…" >&2
  exit 2
}
start=()
for name in ${SERVERS:-kafka cassandra registry mlserver}; do
  case $name in
    kafka) given=${MILLRACE_TEST_KAFKA:-} ;;
    cassandra) given=${MILLRACE_TEST_CQL:-} ;;
    registry) given=${MILLRACE_TEST_REGISTRY:-} ;;
    mlserver) given=${MILLRACE_TEST_MLSERVER:-} ;;
    *)
      echo "SERVERS names $name, want kafka, cassandra, registry or mlserver" >&2
      exit 2
      ;;
  esac
  [ -n "$given" ] || start+=("$name")
done
[ ${#start[@]} -gt 0 ] || exec "$@"
scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
shared=$(cd "$scripts/../.." && pwd)/.local
export LOCAL_DIR=${LOCAL_DIR:-$shared/with}

next=39000
port() { # VARIABLE: a port that nothing answers on, unless the variable names one
  while [ -z "${!1:-}" ]; do
    (exec 3<>"/dev/tcp/127.0.0.1/$next") 2>/dev/null || printf -v "$1" %s "$next"
    next=$((next + 1))
  done
  export "${1?}"
}
for variable in KAFKA_PORT KAFKA_CPORT CASSANDRA_PORT CASSANDRA_SPORT CASSANDRA_JMX_PORT REGISTRY_PORT MLSERVER_PORT MLSERVER_GPORT MLSERVER_MPORT; do port "$variable"; done

mkdir -p "$LOCAL_DIR" "$shared/lib"
[ -e "$LOCAL_DIR/lib" ] || ln -s "$shared/lib" "$LOCAL_DIR/lib" # the jars are fetched once for all
# One user of the folder at a time; the lock goes with the process that holds it.
if command -v flock >/dev/null; then
  exec 9>"$LOCAL_DIR/lock"
  flock -n 9 || {
    echo "another with.sh uses $LOCAL_DIR: wait for it, or set LOCAL_DIR and the ports" >&2
    exit 1
  }
fi

child=
finish() {
  local rc=$?
  trap '' INT TERM # stopping is not to be interrupted
  if [ -n "$child" ] && kill -0 -- "-$child" 2>/dev/null; then
    kill -TERM -- "-$child" || true
    wait "$child" || true
  fi
  if [ "$rc" -eq 0 ]; then
    "$scripts/down.sh" all --wipe
  else
    "$scripts/down.sh" all
    echo "the servers' logs are in $LOCAL_DIR" >&2
  fi
  exit "$rc"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$scripts/down.sh" all --wipe       # of a run that was killed
"$scripts/up.sh" "${start[@]}" 9>&- # servers must not inherit the lock
for name in "${start[@]}"; do
  case $name in
    kafka) export MILLRACE_TEST_KAFKA=127.0.0.1:$KAFKA_PORT ;;
    cassandra) export MILLRACE_TEST_CQL=127.0.0.1:$CASSANDRA_PORT ;;
    registry) export MILLRACE_TEST_REGISTRY=http://127.0.0.1:$REGISTRY_PORT/apis/ccompat/v7 ;;
    mlserver) export MILLRACE_TEST_MLSERVER=http://127.0.0.1:$MLSERVER_PORT ;;
  esac
done
set -m # the command becomes a process group, so that all of it can be stopped
"$@" 9>&- &
child=$!
set +m
wait "$child"
