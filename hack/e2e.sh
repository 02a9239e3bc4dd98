#!/usr/bin/env bash
# Runs the tests in a real cluster and, meanwhile, for those wait more than they compute, a server that is killed 500 times: CRATEYARD_KILLS (250) for each
# pair of catalog and storage.
set -euo pipefail
cd "$(dirname "$0")/.."
said=bin/crash.out
bin/cluster build # first: it leaves no time for what is killed beside it
go test -vet=off -c -o bin/crash.test ./test/crash
# The cluster goes first: what is killed has all the time it needs.
(cd test/crash && CRATEYARD_KILLS=${CRATEYARD_KILLS:-250} exec nice ../../bin/crash.test -test.v -test.timeout 40m) >"$said" 2>&1 &
crash=$!
# Where the cluster's tests fail, the other ends, too, and leaves nothing.
trap 'kill "$crash" 2>/dev/null && wait "$crash" || true; echo "The test that kills a server said: $said" >&2' EXIT

go test -vet=off -tags e2e -count 1 -timeout 30m -v ./test/e2e

echo "==> a server that is killed ($said)" >&2
wait "$crash" && rc=0 || rc=$?
trap - EXIT
cat "$said"
exit "$rc"
