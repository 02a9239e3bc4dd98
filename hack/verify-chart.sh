#!/usr/bin/env bash
# Checks the Helm chart and the kustomize folders: they render, and the chart lints under a schema that is strict.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/bin
[ -x "$bin/helm" ] || go build -C hack/tools/helm -o "$bin/helm" helm.sh/helm/v3/cmd/helm
render() { "$bin/helm" template crateyard charts/crateyard --namespace crateyard-system --kube-version 1.37.0 "$@"; }
"$bin/helm" lint --strict --kube-version 1.37.0 charts/crateyard
render >/dev/null
render --set metrics.serviceMonitor.enabled=true,metrics.prometheusRule.enabled=true >/dev/null
render --set watchNamespaces='{team-a,team-b}' >/dev/null
if render --set replicas=many >bin/chart.out 2>&1 || ! grep -q 'replicas' bin/chart.out; then
  echo 'the chart takes replicas=many, or refuses it for another reason:' >&2
  cat bin/chart.out >&2
  exit 1
fi
kubectl=$("$bin/cluster" envtest-assets)/kubectl
for folder in config/default config/prometheus config/samples hack/demo; do
  "$kubectl" kustomize "$folder" >/dev/null
done
