#!/usr/bin/env bash
# The whole way, end to end: a cluster, the operator, a Registry and a RegistryUser from config/samples; then a crate is published
# with the user's Secret, and another built from it with a fresh CARGO_HOME. Ends with the lines to do the same by hand.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
mkdir -p "$work"

command -v cargo >/dev/null || die "cargo is not on the PATH: the last step publishes a crate with it"
if [ "$cluster" = current ] || ! "$bin/cluster" status >/dev/null 2>&1; then
  if (exec 3<>"/dev/tcp/${address%:*}/${address##*:}") 2>/dev/null; then
    die "somebody listens on $address already, where the registry should answer; choose another with CRATEYARD_DEMO_ADDRESS=127.0.0.1:PORT make up"
  fi
fi

if [ "$cluster" = local ]; then
  say "Starting a one-node Kubernetes (the first time it is compiled: some ten minutes)"
  "$bin/cluster" up
  use_local
  "$bin/cluster" load "$bin/image.tar"
elif [ "$image" = crateyard:dev ]; then
  die "CLUSTER=current needs an image that the cluster can pull: make image, push it, and say IMAGE=your/crateyard:tag"
fi

say "Installing the operator"
kubectl -n crateyard-system get deployment crateyard-operator >/dev/null 2>&1 || touch "$work/operator-installed"
kubectl kustomize "$root/config/default" | sed "s|crateyard:dev|$image|g" | kubectl apply --server-side -f - >/dev/null
kubectl -n crateyard-system rollout restart deployment/crateyard-operator >/dev/null # the tag may name a new image
kubectl -n crateyard-system rollout status deployment/crateyard-operator --timeout=180s

say "Applying a Registry and a RegistryUser (config/samples)"
kubectl kustomize "$root/hack/demo" | sed "s|DEMO_ADDRESS|$address|" | kubectl apply --server-side -f -
wait_ready() {
  kubectl -n crateyard-demo wait --for=condition=Ready --timeout=120s "$1" ||
    { kubectl -n crateyard-demo describe "$1" >&2; die "$1 is not ready; its conditions above say why"; }
}
wait_ready registry/acme
wait_ready registryuser/ci
kubectl -n crateyard-demo get registries,registryusers

if [ "$cluster" = local ]; then
  "$bin/cluster" forward --listen "$address" --service crateyard-demo/acme:80 >/dev/null
else
  stop_forward
  kubectl -n crateyard-demo port-forward service/acme "${address##*:}:80" >"$work/forward.log" 2>&1 &
  echo $! >"$work/forward.pid"
  disown
  for _ in $(seq 50); do grep -q Forwarding "$work/forward.log" && break; sleep 0.2; done
  grep -q Forwarding "$work/forward.log" || die "kubectl port-forward did not start: $(cat "$work/forward.log")"
fi

say "Publishing a crate with the Secret of the RegistryUser, and building another from it"
"$root/hack/try.sh"

cat <<END

Crateyard is up. In another terminal, this does the same again:

  export KUBECONFIG=${KUBECONFIG:-$HOME/.kube/config}
  CRATEYARD_CLUSTER=$cluster $root/hack/try.sh
  ${KUBECTL:-$(command -v kubectl)} -n crateyard-demo get registries,registryusers

or step by step:

  export CARGO_HOME=\$(mktemp -d)
  secret() { ${KUBECTL:-$(command -v kubectl)} -n crateyard-demo get secret ci-cargo -o "go-template={{index .data \"\$1\" | base64decode}}"; }
  secret config.toml > \$CARGO_HOME/config.toml
  secret credentials.toml > \$CARGO_HOME/credentials.toml
  name=mine-\$RANDOM; cargo new --lib \$CARGO_HOME/\$name && cd \$CARGO_HOME/\$name
  cargo publish --registry acme --allow-dirty
  cargo search --registry acme mine

The registry's page: http://$address/me        Take all down: make down
END
