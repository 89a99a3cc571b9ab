{{- define "prefscore.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters: a StatefulSet's pods add a label with a hash. */}}
{{- define "prefscore.fullname" -}}
{{- $name := include "prefscore.name" . -}}
{{- $joined := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $joined .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "prefscore.selectorLabels" -}}
app.kubernetes.io/name: {{ include "prefscore.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "prefscore.labels" -}}
{{ include "prefscore.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "prefscore.serviceAccountName" -}}
{{- default (include "prefscore.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "prefscore.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{/* All options of the server: those of .Values.config, and those that follow from other values. As JSON. */}}
{{- define "prefscore.options" -}}
{{- $options := deepCopy .Values.config -}}
{{- $_ := set $options "listen" (printf "0.0.0.0:%d" (int .Values.ports.grpc)) -}}
{{- $_ := set $options "metrics-listen" (printf "0.0.0.0:%d" (int .Values.ports.metrics)) -}}
{{- if .Values.admin.enabled -}}
{{- $host := ternary "0.0.0.0" "127.0.0.1" (ne .Values.tokens.secretName "") -}}
{{- $_ := set $options "admin-listen" (printf "%s:%d" $host (int .Values.ports.admin)) -}}
{{- end -}}
{{- $_ := set $options "cache-dir" "/var/cache/prefscore" -}}
{{- if .Values.tls.secretName -}}
{{- $_ := set $options "tls-certificate" "/run/prefscore/tls/tls.crt" -}}
{{- $_ := set $options "tls-key" "/run/prefscore/tls/tls.key" -}}
{{- if .Values.tls.requireClientCertificate -}}
{{- $_ := set $options "tls-client-ca" "/run/prefscore/tls/ca.crt" -}}
{{- end -}}
{{- else -}}
{{- $_ := set $options "allow-plaintext" true -}}
{{- end -}}
{{- if .Values.tokens.secretName -}}
{{- $_ := set $options "token-file" "/run/prefscore/tokens/tokens.toml" -}}
{{- end -}}
{{- $options | toJson -}}
{{- end -}}

{{/*
The server's configuration file. JSON's strings and lists are TOML's, too. YAML's numbers arrive here as floating point;
whole ones must not be written so.
*/}}
{{- define "prefscore.toml" -}}
{{- range $name, $value := include "prefscore.options" . | fromJson }}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}
{{ $name }} = {{ int64 $value }}
{{- else }}
{{ $name }} = {{ $value | toJson }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whether other pods may reach the admin service: not where it asks for no token. */}}
{{- define "prefscore.adminIsServed" -}}
{{- if and .Values.admin.enabled .Values.tokens.secretName }}true{{ end -}}
{{- end -}}

{{/* How a probe asks for the server's health: Kubernetes itself cannot do it over TLS. */}}
{{- define "prefscore.probe" -}}
{{- if .Values.tls.secretName -}}
exec:
  command:
    - prefscore
    - health
    - --server=localhost:{{ .Values.ports.grpc }}
    - --tls-ca=/run/prefscore/tls/ca.crt
    {{- if .Values.tls.requireClientCertificate }}
    - --tls-certificate=/run/prefscore/tls/tls.crt
    - --tls-key=/run/prefscore/tls/tls.key
    {{- end }}
{{- else -}}
grpc:
  port: {{ .Values.ports.grpc }}
{{- end -}}
{{- end -}}
