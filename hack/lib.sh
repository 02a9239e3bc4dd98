# Shared by the scripts of this folder: where things are, and how to reach the cluster.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cluster=${CRATEYARD_CLUSTER:-local}
image=${CRATEYARD_IMAGE:-crateyard:dev}
address=${CRATEYARD_DEMO_ADDRESS:-127.0.0.1:18080}
work=$root/bin/demo
bin=$root/bin

say() { printf '\n\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

case $cluster in
local) ;;
current) command -v kubectl >/dev/null || die "CLUSTER=current needs kubectl on the PATH" ;;
*) die "CLUSTER is '$cluster'; it must be local or current" ;;
esac

# use_local has kubectl speak to the cluster of hack/cluster.
use_local() {
  PATH=$("$bin/cluster" bin):$PATH
  KUBECONFIG=$("$bin/cluster" kubeconfig)
  export PATH KUBECONFIG
}

# stop_forward ends the port-forward that up.sh started for CLUSTER=current, by its recorded pid.
stop_forward() {
  [ -f "$work/forward.pid" ] || return 0
  local pid; pid=$(cat "$work/forward.pid")
  if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q port-forward; then kill "$pid"; fi
  rm -f "$work/forward.pid"
}
