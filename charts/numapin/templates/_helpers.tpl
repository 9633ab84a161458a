{{- define "numapin.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The component's objects: "numapin-agent". Call with (list $ "agent"). */}}
{{- define "numapin.name" -}}
{{- printf "%s-%s" (include "numapin.fullname" (index . 0)) (index . 1) -}}
{{- end -}}

{{/* Labels that never change, for selectors. Call with (list $ "agent"). */}}
{{- define "numapin.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* All labels. Call with (list $ "agent"). */}}
{{- define "numapin.labels" -}}
{{- $root := index . 0 -}}
{{ include "numapin.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ $root.Chart.Name }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "numapin.image" -}}
{{- $image := index . 1 -}}
{{- printf "%s:%s" $image.repository ($image.tag | default (index . 0).Chart.AppVersion) -}}
{{- end -}}

{{/* Annotations of an object of the pre-delete hook. Call with its weight. */}}
{{- define "numapin.uninstallHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/*
"true" where the cluster can keep each agent to its own node, else nothing. A cluster that helm
talks to names all its kinds; `helm template` knows only the version it is told.
*/}}
{{- define "numapin.canRestrict" -}}
{{- $versions := .Capabilities.APIVersions -}}
{{- if $versions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy" -}}
true
{{- else if and (not ($versions.Has "v1/Pod")) (semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version) -}}
true
{{- end -}}
{{- end -}}

{{/* Whether agents answer NumaTraces: they load kernel programs for it. */}}
{{- define "numapin.traces" -}}
{{- if and .Values.agent.counters (gt (int .Values.agent.traces) 0) }}true{{ end }}
{{- end }}

{{/* Whether agents count latencies always. */}}
{{- define "numapin.latency" -}}
{{- if and .Values.agent.counters .Values.agent.latencyMetrics }}true{{ end }}
{{- end }}
