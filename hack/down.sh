#!/usr/bin/env bash
# Takes down what hack/up.sh made: the local cluster as a whole, or, with CLUSTER=current, the demo, and the operator if up.sh
# brought it and nobody else's Registry needs it. Namespaces that up.sh did not make are left alone. The resource definitions stay
# in any case: to delete them would delete every Registry of the cluster. CRATEYARD_DOWN_TIMEOUT (60s) is how long it waits for users to go.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
if [ "$cluster" = local ]; then
  step "Taking down the one-node Kubernetes"
  exec "$bin/cluster" down
fi
stop_forward
context=$(kubectl config current-context) || die "kubectl has no current context; choose a cluster with: kubectl config use-context NAME"
step "Using the cluster of kubectl's context $context"
patience=${CRATEYARD_DOWN_TIMEOUT:-60s}
failed=
stuck() {
  step "Namespace $1 is not gone: $2"
  failed=yes
}
known=no
! exists crd registries.crateyard.dev || known=yes

if ! exists namespace crateyard-demo; then
  step "There is no demo"
elif is_ours crateyard-demo; then
  step "Deleting the demo: namespace crateyard-demo"
  # The users first, while their registry is there to take back their tokens. Where it cannot, they go with it.
  [ $known = no ] || kubectl -n crateyard-demo delete registryusers --all --ignore-not-found --timeout="$patience" || {
    kubectl -n crateyard-demo get registryusers >&2
    step "These users are not gone after $patience: their registry does not answer, or no operator runs. Going on with the namespace"
  }
  kubectl delete namespace crateyard-demo --ignore-not-found --timeout=120s ||
    stuck crateyard-demo "kubectl -n crateyard-demo describe registries,registryusers says what they wait for; without an operator remove their finalizers"
else
  step "Leaving namespace crateyard-demo alone: make up did not make it"
fi

if ! exists namespace crateyard-system || ! is_ours crateyard-system; then
  step "Leaving the operator alone: make up did not bring one"
elif [ $known = yes ] && exists registries,registryusers -A; then
  kubectl get registries,registryusers -A >&2
  step "Leaving the operator: what is listed above needs it. Delete that, and run make down CLUSTER=current again"
else
  step "Deleting the operator: namespace crateyard-system and its rights"
  kubectl delete --ignore-not-found -k "$root/config/rbac"
  kubectl delete namespace crateyard-system --ignore-not-found --timeout=120s || stuck crateyard-system "kubectl get namespace crateyard-system -o yaml says why"
fi
[ $known = no ] || step "The resource definitions stay; without any Registry left: kubectl delete crd registries.crateyard.dev registryusers.crateyard.dev"
[ -z "$failed" ] || die "not all is gone; what is left is said above"
