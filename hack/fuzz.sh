#!/usr/bin/env bash
# Runs each fuzz target of the server for a while (FUZZTIME, 10s if nothing else is said); their seeds run with every `make test`.
# Input that breaks one is kept under the package's testdata/fuzz: commit it with the mend.
set -euo pipefail
cd "$(dirname "$0")/.."
for file in $(grep -rl --include='*_test.go' '^func Fuzz' registry | sort); do
  for target in $(sed -n 's/^func \(Fuzz[A-Za-z]*\)(.*/\1/p' "$file"); do
    echo "==> $target in $(dirname "$file"), ${FUZZTIME:=10s}"
    # Minimising what is only interesting takes longer than finding more of it.
    go test "./$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 1x
  done
done
