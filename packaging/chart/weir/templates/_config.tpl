{{/* A value of weir.conf in quotes. A $ would be a variable there. */}}
{{- define "weir.quoted" -}}
"{{ . | toString | replace "\\" "\\\\" | replace "\"" "\\\"" | replace "$" "$$" }}"
{{- end -}}

{{/* One or several endpoints. */}}
{{- define "weir.endpoints" -}}
{{- if kindIs "slice" . -}}
{{- range $i, $e := . }}{{ if $i }} {{ end }}{{ include "weir.quoted" (include "weir.number" $e) }}{{ end -}}
{{- else -}}
{{- include "weir.quoted" (include "weir.number" .) -}}
{{- end -}}
{{- end -}}

{{/* Numbers from values are floats: 1935, not 1.935e+03. */}}
{{- define "weir.number" -}}
{{- if kindIs "float64" . -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{- define "weir.originLines" -}}
{{- $o := . -}}
{{- range $key := list "rtmp" "http" "api" "srt" "rtc" -}}
{{- if hasKey $o $key }}
    {{ $key }} {{ include "weir.endpoints" (index $o $key) }};
{{- end -}}
{{- end -}}
{{- range $key := list "weight" "proxy_protocol" "learn" "tls_name" "drain_timeout" "absent_timeout" -}}
{{- if hasKey $o $key }}
    {{ $key }} {{ include "weir.quoted" (include "weir.number" (index $o $key)) }};
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "weir.config" -}}
{{- $v := .Values -}}
{{- $l := $v.listeners -}}
{{- $proxy := ternary "on" "off" $v.proxyProtocol.enabled -}}
# Written by the chart; more options: value extraConfig.
worker_processes {{ include "weir.number" $v.workers }};
# drain.seconds, and room for the end of what is left.
grace_quit_timeout {{ int $v.drain.seconds }}s;
force_quit_timeout {{ add (int $v.drain.seconds) 5 }}s;
{{- if $v.proxyProtocol.enabled }}
proxy_protocol_networks {{ include "weir.quoted" $v.proxyProtocol.networks }};
{{- end }}
log {
    level {{ $v.log.level }};
    format {{ $v.log.format }};
}
access_log {
    format {{ $v.log.format }};
}
control {
    listen {{ int $v.control.port }};
}
rtmp {
    enabled {{ ternary "on" "off" (or $l.rtmp.enabled $l.rtmps.enabled) }};
    listen {{ int $l.rtmp.port }};
    proxy_protocol {{ $proxy }};
    {{- if $l.rtmps.enabled }}
    tls_listen {{ int $l.rtmps.port }};
    {{- end }}
}
http {
    enabled {{ ternary "on" "off" (or $l.http.enabled $l.https.enabled) }};
    listen {{ int $l.http.port }};
    proxy_protocol {{ $proxy }};
    {{- if $l.https.enabled }}
    tls_listen {{ int $l.https.port }};
    {{- end }}
    {{- if $v.trustedNetworks }}
    trusted_networks {{ include "weir.quoted" $v.trustedNetworks }};
    {{- end }}
}
http_api {
    enabled {{ ternary "on" "off" (or $l.api.enabled $l.apis.enabled) }};
    listen {{ int $l.api.port }};
    proxy_protocol {{ $proxy }};
    {{- if $l.apis.enabled }}
    tls_listen {{ int $l.apis.port }};
    {{- end }}
}
rtc {
    enabled {{ ternary "on" "off" $l.rtc.enabled }};
    listen {{ int $l.rtc.port }};
    {{- if $l.rtcTcp.enabled }}
    tcp_listen {{ int $l.rtcTcp.port }};
    {{- end }}
    {{- if eq $v.candidate.from "value" }}
    candidate {{ include "weir.quoted" $v.candidate.value }};
    {{- else if eq $v.candidate.from "hostIP" }}
    candidate ${HOST_IP}
      {{- $port := include "weir.candidatePort" . -}}
      {{- if ne $port (toString (int $l.rtc.port)) }}:{{ $port }}{{ end }};
      {{- with include "weir.candidateTcpPort" . }}
    tcp_candidate ${HOST_IP}:{{ . }};
      {{- end }}
    {{- end }}
}
srt {
    enabled {{ ternary "on" "off" $l.srt.enabled }};
    listen {{ int $l.srt.port }};
}
{{- if $v.tls.secretName }}
certificate chart {
    file /etc/weir/tls/tls.crt;
    key /etc/weir/tls/tls.key;
}
{{- end }}
{{- range $v.origins }}
origin {{ .name }} {
    ip {{ include "weir.quoted" .ip }};
    {{- include "weir.originLines" . }}
}
{{- end }}
{{- range $v.originsFrom }}
origins_from {{ .host }}:{{ int .port }} {
    {{- if .name }}
    name {{ .name }};
    {{- end }}
    {{- include "weir.originLines" . }}
}
{{- end }}
{{- if include "weir.candidateFromApi" . }}
# Written by weirctl k8s-candidate.
include /etc/weir/candidate.d/*.conf;
{{- end }}
{{- end -}}
