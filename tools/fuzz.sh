#!/usr/bin/env bash
# Run every fuzz target for a while. usage: fuzz.sh TIME [PACKAGE…]
set -euo pipefail
time=$1
shift
[ $# -gt 0 ] || set -- ./...
packages=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' "$@")
found=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
fuzz() { go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 10x "$1" | tee "$log"; }
late() { grep -q '^ *context deadline exceeded$' "$log" && ! grep -q 'Failing input' "$log"; }
for package in $packages; do
  targets=$(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true)
  for target in $targets; do
    found=$((found + 1))
    echo "== $package $target"
    # The end of the time may come out as a failure without an input (golang/go#75804).
    fuzz "$package" "$target" || { late && fuzz "$package" "$target"; }
  done
done
[ "$found" -gt 0 ] || {
  echo "no fuzz target in $*" >&2
  exit 1
}
echo "$found fuzz targets, $time each"
