#!/usr/bin/env bash
# Run every fuzz target for a while. usage: fuzz.sh TIME [PACKAGE…]
set -euo pipefail
time=$1
shift
[ $# -gt 0 ] || set -- ./...
packages=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' "$@")
found=0
for package in $packages; do
  targets=$(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true)
  for target in $targets; do
    found=$((found + 1))
    echo "== $package $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "$package"
  done
done
[ "$found" -gt 0 ] || {
  echo "no fuzz target in $*" >&2
  exit 1
}
echo "$found fuzz targets, $time each"
