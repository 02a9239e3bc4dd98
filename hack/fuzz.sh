#!/usr/bin/env bash
# Runs each fuzz target of the server for a while (FUZZTIME, 10s if nothing else is said); their seeds run with every `make test`. FUZZ says which: a regular
# expression of their folders.
# Input that breaks one is kept under the package's testdata/fuzz: commit it with the mend.
set -euo pipefail
cd "$(dirname "$0")/.."
said=$(mktemp)
trap 'rm -f "$said"' EXIT

# Go before 1.27 sometimes takes the end of the time for a failure (https://go.dev/issue/75804): then the deadline is all it names.
only_time_was_up() {
  ! grep -qE 'Failing input|panic:|fatal error:|^[[:space:]]+[A-Za-z0-9_]+\.go:[0-9]+:' "$said" &&
    grep -qE '^[[:space:]]+context deadline exceeded$' "$said"
}

for file in $(grep -rl --include='*_test.go' '^func Fuzz' registry | grep -E "${FUZZ:-.}" | sort); do
  for target in $(sed -n 's/^func \(Fuzz[A-Za-z]*\)(.*/\1/p' "$file"); do
    echo "==> $target in $(dirname "$file"), ${FUZZTIME:=10s}"
    # Minimising what is only interesting takes longer than finding more of it. Whether it failed is said when that is known.
    go test -vet=off "./$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 1x 2>&1 | tee "$said" | sed -u '/^--- FAIL/d; /^FAIL/d' || {
      only_time_was_up || { grep FAIL "$said"; exit 1; }
      echo "$target: the time was up, and no input broke it"
    }
  done
done
