# Shared by the scripts of this folder: where things are, and how to reach the cluster.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cluster=${CRATEYARD_CLUSTER:-local}
image=${CRATEYARD_IMAGE:-crateyard:dev}
address=${CRATEYARD_DEMO_ADDRESS:-127.0.0.1:18080}
work=${CRATEYARD_DEMO_WORK:-$root/bin/demo}
bin=$root/bin

step() { printf '==> %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

case $cluster in
local) ;;
current) command -v kubectl >/dev/null || die "CLUSTER=current needs kubectl on the PATH" ;;
*) die "CLUSTER is '$cluster'; it must be local or current" ;;
esac

# A port alone would be asked for as a host.
[[ $address =~ ^.+:[0-9]+$ ]] || die "CRATEYARD_DEMO_ADDRESS is '$address'; it must be HOST:PORT, such as 127.0.0.1:${address//[^0-9]/}"

# use_local has kubectl speak to the cluster of hack/cluster.
use_local() {
  PATH=$("$bin/cluster" bin):$PATH
  KUBECONFIG=$("$bin/cluster" kubeconfig)
  export PATH KUBECONFIG
}

# exists asks whether there is an object. That nobody answers is no "no": it ends the script.
exists() {
  local found
  found=$(kubectl get "$@" --ignore-not-found -o name) || die "kubectl could not ask the cluster for: $*"
  [ -n "$found" ]
}

# In a cluster that is not ours only that may be changed and deleted which make up made: two namespaces, known by a label.
mark=crateyard.dev/made-by
is_ours() {
  local by
  by=$(kubectl get namespace "$1" --ignore-not-found -o "go-template={{index .metadata.labels \"$mark\"}}") || die "kubectl could not ask the cluster for namespace $1"
  [ "$by" = make-up ]
}
claim() {
  if exists namespace "$1"; then
    is_ours "$1" || die "the cluster has a namespace $1 that make up did not make; it is left alone. $2"
    return 0
  fi
  printf '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "%s", "labels": {"%s": "make-up"}}}' "$1" "$mark" | kubectl create -f -
}

# stop_forward ends the port-forward that up.sh started for CLUSTER=current, by its recorded pid.
stop_forward() {
  [ -f "$work/forward.pid" ] || return 0
  local pid; pid=$(cat "$work/forward.pid")
  if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q port-forward; then kill "$pid"; fi
  rm -f "$work/forward.pid"
}
