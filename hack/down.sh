#!/usr/bin/env bash
# Takes down what hack/up.sh made: the local cluster as a whole, or, with CLUSTER=current, the demo, and the operator if up.sh
# brought it. The resource definitions stay in any case: to delete them would delete every Registry of the cluster.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
if [ "$cluster" = local ]; then
  exec "$bin/cluster" down
fi
stop_forward
kubectl -n crateyard-demo delete registryusers --all --ignore-not-found --timeout=60s
kubectl delete namespace crateyard-demo --ignore-not-found --timeout=120s
if [ -f "$work/operator-installed" ]; then
  kubectl delete --ignore-not-found -k "$root/config/rbac"
  kubectl delete --ignore-not-found -k "$root/config/manager"
  rm -f "$work/operator-installed"
fi
