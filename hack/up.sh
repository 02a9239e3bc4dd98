#!/usr/bin/env bash
# The whole way, end to end: a cluster, the operator, a Registry, a RegistryUser and a CrateMirror from config/samples; then a crate is published
# with the user's Secret, and another built from it with a fresh CARGO_HOME. Ends with the lines to do the same by hand.
#
# With CLUSTER=current, in the cluster of kubectl's context: an operator that is there already is used as it is; else one is
# installed. What this makes there carries a label, by which hack/down.sh knows it.
#
# Run again, it sets what the demo says and leaves what else somebody changed. CRATEYARD_UP_TIMEOUT (120s) is how long it waits for what it made.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
mkdir -p "$work"
patience=${CRATEYARD_UP_TIMEOUT:-120s}

step "Looking at what is here"
command -v cargo >/dev/null || die "cargo is not on the PATH: the last step publishes a crate with it"
[ "$cluster" = local ] || stop_forward # that of an earlier make up
if [ "$cluster" = current ] || ! "$bin/cluster" status >/dev/null 2>&1; then
  if (exec 3<>"/dev/tcp/${address%:*}/${address##*:}") 2>/dev/null; then
    die "somebody listens on $address already, where the registry should answer; choose another with CRATEYARD_DEMO_ADDRESS=127.0.0.1:PORT make up"
  fi
fi

# running lists the registries that run an image, as NAMESPACE/NAME; in a cluster that is not ours, that of the demo alone.
running() {
  local where=-A
  [ "$cluster" = local ] || where=--namespace=crateyard-demo
  kubectl get deployments "$where" -l app.kubernetes.io/managed-by=crateyard -o \
    "go-template={{range .items}}{{if eq (index .spec.template.spec.containers 0).image \"$1\"}}{{.metadata.namespace}}/{{.metadata.name}}{{\"\n\"}}{{end}}{{end}}"
}

install=yes
if [ "$cluster" = local ]; then
  step "Starting a one-node Kubernetes (the first time it is compiled: some ten minutes)"
  "$bin/cluster" up
  use_local
  step "Loading the image $image into it"
  "$bin/cluster" load "$bin/image.tar"
else
  context=$(kubectl config current-context) || die "kubectl has no current context; choose a cluster with: kubectl config use-context NAME"
  kubectl get --raw /readyz >/dev/null || die "the cluster of kubectl's context $context does not answer"
  step "Using the cluster of kubectl's context $context"
  found=$(kubectl get deployments -A -l app.kubernetes.io/name=crateyard,app.kubernetes.io/component=operator -o 'jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {end}')
  found=${found% }
  if [ -n "$found" ] && ! is_ours "${found%%/*}"; then
    step "An operator is here already ($found): it is used as it is, and so is its image"
    install=no
  elif [ "$image" = crateyard:dev ]; then
    die "CLUSTER=current needs an image that the cluster's nodes can pull, and $image is on this machine only. Push it to a registry that
they reach (any tool that pushes will do; bin/image.tar is the same image as an OCI archive), and say its name:

  docker build -t registry.example.com/crateyard:try . && docker push registry.example.com/crateyard:try
  make up CLUSTER=current IMAGE=registry.example.com/crateyard:try

or load it onto the nodes, where the cluster has a way to do so, such as kind:

  make image IMAGE=crateyard:try && kind load image-archive bin/image.tar
  make up CLUSTER=current IMAGE=crateyard:try"
  fi
  claim crateyard-demo "Delete it, if nobody needs it: the demo takes that name."
  [ $install = no ] || claim crateyard-system "Install the operator as README.md says, and run this again: it is used then."
fi

if [ $install = yes ]; then
  step "Installing the operator (image $image)"
  before=no; exists -n crateyard-system deployment/crateyard-operator && before=yes
  # In a cluster of our own, what somebody edited is set back. Elsewhere kubectl says who else sets a field, for the resource definitions may be others'.
  force=(); [ "$cluster" != local ] || force=(--force-conflicts)
  kubectl kustomize "$root/config/default" | sed "s|crateyard:dev|$image|g" | kubectl apply --server-side "${force[@]}" -f - >/dev/null
  [ $before = no ] || kubectl -n crateyard-system rollout restart deployment/crateyard-operator >/dev/null # the tag may name a new image
  kubectl -n crateyard-system rollout status deployment/crateyard-operator --timeout=180s || {
    kubectl -n crateyard-system get pods >&2
    kubectl -n crateyard-system get events --field-selector type=Warning --sort-by=.metadata.creationTimestamp | tail -5 >&2
    die "the operator does not run; can the cluster pull $image? The warnings above, and kubectl -n crateyard-system describe pods, say why"
  }
  # Registries that run already do so with the image of before, which had the same name.
  registries=$(running "$image")
  for registry in $registries; do
    ready=$(kubectl -n "${registry%/*}" get deployment "${registry#*/}" -o 'jsonpath={.status.readyReplicas}')
    step "Restarting the registry ${registry#*/} of namespace ${registry%/*}, for the image may be another"
    kubectl -n "${registry%/*}" rollout restart "deployment/${registry#*/}" >/dev/null
    # One that was broken before is not for make up to mend; it may have been about to start, and so gets some time.
    if [ -z "$ready" ]; then
      kubectl -n "${registry%/*}" rollout status "deployment/${registry#*/}" --timeout=30s ||
        step "It was not ready before, and is not now; kubectl -n ${registry%/*} describe registry ${registry#*/} says why. Going on"
      continue
    fi
    kubectl -n "${registry%/*}" rollout status "deployment/${registry#*/}" --timeout=180s ||
      die "the registry does not start again; kubectl -n ${registry%/*} describe registry ${registry#*/} says why"
  done
fi

step "Applying a Registry, a RegistryUser and a CrateMirror (config/samples) in namespace crateyard-demo"
# The demo's objects are its own: a field that somebody edited is set back, and is no conflict.
kubectl kustomize "$root/hack/demo" | sed "s|DEMO_ADDRESS|$address|" | kubectl apply --server-side --force-conflicts -f -
wait_ready() { # OBJECT WHAT-TO-DO
  step "Waiting until $1 is ready"
  kubectl -n crateyard-demo wait --for=condition=Ready --timeout="$patience" "$1" ||
    { kubectl -n crateyard-demo describe "$1" >&2; die "$1 is not ready; its conditions above say why. $2"; }
}
down=; [ "$cluster" = local ] || down=" CLUSTER=current"
anew="To begin anew, without what was published: make down$down, and make up$down again"
# What somebody tries out with the demo is not undone unasked, so this is said, and not done.
wait_ready registry/acme "If somebody changed its spec, this puts it back as make up
made it, and leaves its data; then run make up$down again:

  export KUBECONFIG=${KUBECONFIG:-$HOME/.kube/config}
  ${KUBECTL:-$(command -v kubectl)} -n crateyard-demo patch registry acme --type=json -p '[{\"op\": \"replace\", \"path\": \"/spec\", \"value\": {\"url\": \"http://$address\"}}]'

$anew"
wait_ready registryuser/ci "If somebody changed its spec, delete it (kubectl -n crateyard-demo delete registryuser ci), and run make up$down again. $anew"
# A machine that does not reach crates.io has a mirror that says so, and everything else works.
step "Waiting until the registry has cratemirror/deps"
kubectl -n crateyard-demo wait --for=condition=RegistryReady --timeout="$patience" cratemirror/deps ||
  { kubectl -n crateyard-demo describe cratemirror/deps >&2; die "cratemirror/deps is not at the registry; its conditions above say why"; }
kubectl -n crateyard-demo wait --for=condition=Ready --timeout=10s cratemirror/deps 2>/dev/null ||
  step "The mirror is not ready: $(kubectl -n crateyard-demo get cratemirror deps -o 'jsonpath={.status.conditions[?(@.type=="Ready")].message}')"
kubectl -n crateyard-demo get cratemirrors,registries,registryusers

step "Forwarding $address to the registry"
if [ "$cluster" = local ]; then
  "$bin/cluster" forward --listen "$address" --service crateyard-demo/acme:80 >/dev/null
else
  kubectl -n crateyard-demo port-forward --address "${address%:*}" service/acme "${address##*:}:80" >"$work/forward.log" 2>&1 &
  echo $! >"$work/forward.pid"
  disown
  for _ in $(seq 50); do grep -q Forwarding "$work/forward.log" && break; sleep 0.2; done
  grep -q Forwarding "$work/forward.log" || die "kubectl port-forward did not start: $(cat "$work/forward.log")"
fi

step "Publishing a crate with the Secret of the RegistryUser, and building another from it"
"$root/hack/try.sh"

cat <<END

Crateyard is up. In another terminal, this does the same again:

  export KUBECONFIG=${KUBECONFIG:-$HOME/.kube/config}
  CRATEYARD_CLUSTER=$cluster $root/hack/try.sh
  ${KUBECTL:-$(command -v kubectl)} -n crateyard-demo get cratemirrors,registries,registryusers

or step by step:

  export KUBECONFIG=${KUBECONFIG:-$HOME/.kube/config}
  export CARGO_HOME=\$(mktemp -d)
  secret() { ${KUBECTL:-$(command -v kubectl)} -n crateyard-demo get secret ci-cargo -o "go-template={{index .data \"\$1\" | base64decode}}"; }
  secret config.toml > \$CARGO_HOME/config.toml
  secret credentials.toml > \$CARGO_HOME/credentials.toml
  name=mine-\$RANDOM; cargo new --lib \$CARGO_HOME/\$name && cd \$CARGO_HOME/\$name
  cargo publish --registry acme --allow-dirty
  cargo search --registry acme mine

The registry's page: http://$address/me        Take all down: make down$down
END
