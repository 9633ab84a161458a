{{/* The port of /metrics. Call with the component. */}}
{{- define "numapin.metricsPort" -}}
{{- get (dict "operator" 8081 "agent" 9465) . -}}
{{- end -}}

{{/* How Prometheus reads metrics. Call with .Values.monitoring.podMonitor or serviceMonitor. */}}
{{- define "numapin.endpoint" -}}
port: metrics
{{- with .interval }}
interval: {{ . }}
{{- end }}
# Agents tell of other pods: the labels pod and namespace are those pods', not the agent's.
honorLabels: true
relabelings:
  - sourceLabels: [__meta_kubernetes_pod_node_name]
    targetLabel: node
{{- end -}}
