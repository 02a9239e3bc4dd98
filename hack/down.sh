#!/usr/bin/env bash
# Takes down what hack/up.sh made: the local cluster as a whole, or, with CLUSTER=current, the demo and the operator. The
# resource definitions stay there: other Registries may use them.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
if [ "$cluster" = local ]; then
  exec "$bin/cluster" down
fi
stop_forward
kubectl delete namespace crateyard-demo --ignore-not-found
kubectl kustomize "$root/config/default" | kubectl delete --ignore-not-found -l 'app.kubernetes.io/component!=crd' -f - || true
