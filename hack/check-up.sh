#!/usr/bin/env bash
# Does with a bare machine what README.md says, and holds it to what that promises: `make up`, the lines that it prints, as they are, in
# another shell; `make up` again with a changed program, which has to reach the registry that runs; `make down`, after which nothing of
# ours may be left on the machine. Takes the local cluster down, so it refuses to begin where one is up.
set -euo pipefail
CRATEYARD_CLUSTER=local
. "$(dirname "$0")/lib.sh"
cd "$root"
[ ! -e .cluster ] || die "there is a local cluster already, which this would take down: make down"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# network lists what the machine's own network has, a line each. A policy of iptables is always there, and no rule.
network() {
  ls /sys/class/net
  if command -v iptables >/dev/null; then { iptables -S && iptables -t nat -S; } | { grep -v '^-P ' || true; }; fi
}
network | sort >"$scratch/before"

make up | tee "$scratch/said"

step "Doing what make up printed, in another shell"
sed -n '/^Crateyard is up/,/^The registry/s/^  //p' "$scratch/said" >"$scratch/lines"
for line in 'hack/try\.sh$' '^cargo publish'; do
  grep -q "$line" "$scratch/lines" || die "make up printed no line with $line"
done
mkdir "$scratch/tmp" # the lines make folders
sed '/export CARGO_HOME/Q' "$scratch/lines" | sed '$d' >"$scratch/again" # each block in a shell of its own
tail -n +$(($(wc -l <"$scratch/again") + 1)) "$scratch/lines" >"$scratch/steps"
for block in again steps; do
  (cd "$scratch" && env -u KUBECONFIG TMPDIR="$scratch/tmp" bash -euo pipefail "$scratch/$block")
done 2>&1 | tee "$scratch/did"
for said in '^hello from a crate' '^mine-' 'registryuser.*/ci '; do
  grep -q "$said" "$scratch/did" || die "the lines that make up printed did not come to: $said"
done

step "make up again, with a changed program"
make up VERSION=v0.0.1-again >/dev/null
use_local
kubectl -n crateyard-demo wait --for='jsonpath={.status.version}=v0.0.1-again' --timeout=120s registry/acme ||
  die "the registry still runs the program of before"
kubectl -n crateyard-demo wait --for=condition=Ready --timeout=120s registry/acme registryuser/ci

step "make down, and looking for what it left"
make down
left=
lost() { printf 'left behind: %s\n' "$*" >&2; left=yes; }
for path in .cluster /run/crateyard-crateyard /run/netns/crateyard-crateyard; do
  [ ! -e $path ] || lost $path
done
while read -r line; do lost "mount $line"; done < <(grep -F -e "$root/.cluster/" -e /run/crateyard-crateyard /proc/mounts || true)
while read -r line; do lost "in the machine's network: $line"; done < <(network | sort | comm -13 "$scratch/before" -)
for process in /proc/[0-9]*; do
  cmdline=$(cat "$process/cmdline" 2>/dev/null | tr '\0' ' ' || true) # it may have ended meanwhile
  case $cmdline in *"$root/.cluster/"*) lost "process ${process#/proc/}: $cmdline" ;; esac
done
[ -z "$left" ] || die "make down left what is listed above"
