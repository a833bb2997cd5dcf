# Shared by the scripts of this folder; not run by itself. shellcheck shell=bash
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LOCAL_DIR=${LOCAL_DIR:-$here/../../.local}
mkdir -p "$LOCAL_DIR"
LOCAL_DIR=$(cd "$LOCAL_DIR" && pwd)
[ -f "$LOCAL_DIR/.gitignore" ] || echo '*' >"$LOCAL_DIR/.gitignore" # jars and data are never for the repository

KAFKA_PORT=${KAFKA_PORT:-19092} KAFKA_CPORT=${KAFKA_CPORT:-19093}
CASSANDRA_PORT=${CASSANDRA_PORT:-19042} CASSANDRA_SPORT=${CASSANDRA_SPORT:-17000} CASSANDRA_JMX_PORT=${CASSANDRA_JMX_PORT:-17199}
REGISTRY_PORT=${REGISTRY_PORT:-19081}
MLSERVER_PORT=${MLSERVER_PORT:-19085} MLSERVER_GPORT=${MLSERVER_GPORT:-19086} MLSERVER_MPORT=${MLSERVER_MPORT:-19087}
CASSANDRA_SYNC=${CASSANDRA_SYNC:-periodic} READY_S=${READY_S:-120} JVM_OPTS=${JVM_OPTS:-}
if [ -n "${FAST:-}" ]; then # starts sooner and takes less memory, runs slower
  JVM_OPTS="-XX:TieredStopAtLevel=1 $JVM_OPTS" CASSANDRA_HEAP=${CASSANDRA_HEAP:-512m} KAFKA_HEAP=${KAFKA_HEAP:-256m} REGISTRY_HEAP=${REGISTRY_HEAP:-256m}
fi
KAFKA_HEAP=${KAFKA_HEAP:-512m} CASSANDRA_HEAP=${CASSANDRA_HEAP:-1g} REGISTRY_HEAP=${REGISTRY_HEAP:-384m}

say() { echo "$*" >&2; }
die() { say "$*"; exit 1; }

# servers WHAT…: the names that a command's arguments mean
servers() {
  [ $# -gt 0 ] || set -- all
  local what meant=()
  for what in "$@"; do
    case $what in
      all) meant+=(kafka cassandra registry mlserver) ;;
      kafka | cassandra | registry | mlserver) meant+=("$what") ;;
      *) return 1 ;;
    esac
  done
  echo "${meant[@]}"
}

# alive NAME: our process of that name runs. It is known by its command line,
# so that neither a zombie nor a pid used again for something else counts.
alive() {
  local pid args
  pid=$(cat "$LOCAL_DIR/$1/pid" 2>/dev/null) || return 1
  args=$(ps -ww -o args= -p "$pid" 2>/dev/null) || return 1
  case $1 in
    kafka) [[ $args == *" kafka.Kafka $LOCAL_DIR/kafka/"* ]] ;;
    cassandra) [[ $args == *"$LOCAL_DIR/cassandra/"*CassandraDaemon* ]] ;;
    registry) [[ $args == *" -jar $LOCAL_DIR/lib/registry/quarkus-run.jar" ]] ;;
    mlserver) [[ $args == *"/mlserver/bin/mlserver start $LOCAL_DIR/mlserver/models" ]] ;;
  esac
}

# answers PORT: something accepts connections there
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

port_of() { case $1 in kafka) echo "$KAFKA_PORT" ;; cassandra) echo "$CASSANDRA_PORT" ;; registry) echo "$REGISTRY_PORT" ;; mlserver) echo "$MLSERVER_PORT" ;; esac; }

# gets PORT PATH: an HTTP server there answers 200, and soon
gets() (
  { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || exit 1
  printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&3
  read -r -t 2 _ code _ <&3 && [ "$code" = 200 ]
)

registry_path=/apis/ccompat/v7 # Confluent's API

# serves NAME: it can be used. Kafka and Cassandra open their port last.
serves() {
  case $1 in
    registry) gets "$REGISTRY_PORT" "$registry_path/subjects" ;;
    mlserver) gets "$MLSERVER_PORT" /v2/health/ready ;;
    *) answers "$(port_of "$1")" ;;
  esac
}
