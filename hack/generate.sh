#!/usr/bin/env bash
# Regenerates what comes from the Go types and markers: deepcopy functions, CRDs, RBAC, and their copies in the Helm chart, with that of the
# alerts. `make verify` runs it and fails when something changed.
set -euo pipefail
cd "$(dirname "$0")/.."

gen() { (cd hack/tools && go tool -n controller-gen); }
controller_gen=$(gen)

"$controller_gen" object paths=./api/...
"$controller_gen" crd:crdVersions=v1,generateEmbeddedObjectMeta=false paths=./api/... output:crd:artifacts:config=config/crd/bases
# controller-gen gives each quantity a pattern, and no marker takes it away. Where a rule says the same in words (isQuantity), they are what is read.
sed -i '/pattern: ^(\\+|-)?((\[0-9\]+/{N;N;/x-kubernetes-validations:/s/^[^\n]*\n//}' config/crd/bases/*.yaml
"$controller_gen" rbac:roleName=crateyard-operator paths=./controllers/... output:rbac:artifacts:config=config/rbac

# The chart's copies. CRDs are templates, for Helm never upgrades what lies in crds/; they outlive the release, since
# removing one would remove every Registry of the cluster.
for crd in config/crd/bases/*.yaml; do
  {
    echo '{{- if .Values.crds.enabled }}'
    # No braces of Go templates may stand in a CRD; descriptions that have some are quoted here.
    sed -e 's/{{/{{ "{{" }}/g' -e '/^  annotations:$/a\    {{- if .Values.crds.keep }}\n    helm.sh/resource-policy: keep\n    {{- end }}' "$crd"
    echo '{{- end }}'
  } > "charts/crateyard/templates/crd-$(basename "$crd" .yaml | cut -d_ -f2).yaml"
done
sed -n '/^rules:/,$p' config/rbac/role.yaml > charts/crateyard/generated/rules.yaml
sed -n 's/^  //; /^groups:/,$p' config/prometheus/alerts.yaml > charts/crateyard/generated/alerts.yaml
