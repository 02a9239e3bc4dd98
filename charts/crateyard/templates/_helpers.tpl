{{- define "crateyard.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "crateyard.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "crateyard.labels" -}}
{{ include "crateyard.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "crateyard.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "crateyard.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "crateyard.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "crateyard.rules" -}}
{{ .Files.Get "generated/rules.yaml" }}
{{- end }}

{{- /* A Role gives no right to what is in no namespace, so one does not say so. */}}
{{- define "crateyard.rulesInNamespace" -}}
{{- $rules := list }}
{{- range (.Files.Get "generated/rules.yaml" | fromYaml).rules }}
{{- if not (has "storage.k8s.io" .apiGroups) }}{{ $rules = append $rules . }}{{ end }}
{{- end }}
{{- toYaml (dict "rules" $rules) }}
{{- end }}
