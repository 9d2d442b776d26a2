{{- define "weir.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "weir.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "weir.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "weir.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "weir.selector" -}}
app.kubernetes.io/name: {{ include "weir.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "weir.labels" -}}
{{ include "weir.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "weir.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "weir.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "weir.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "weir.secret" -}}
{{- .Values.token.existingSecret | default (printf "%s-token" (include "weir.fullname" .)) -}}
{{- end -}}

{{/* The protocol of a listener, by its name. */}}
{{- define "weir.protocol" -}}
{{- if has . (list "rtc" "srt") -}}UDP{{- else -}}TCP{{- end -}}
{{- end -}}

{{/* Its name as a port: lower case, at most 15. */}}
{{- define "weir.portName" -}}
{{- if eq . "rtcTcp" -}}rtc-tcp{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* JSON {"on": [names of listeners that are served], in one order}. */}}
{{- define "weir.listeners" -}}
{{- $on := list -}}
{{- range $name := list "rtmp" "http" "api" "rtcTcp" "rtmps" "https" "apis" "rtc" "srt" -}}
{{- if (index $.Values.listeners $name).enabled -}}{{- $on = append $on $name -}}{{- end -}}
{{- end -}}
{{- dict "on" $on | toJson -}}
{{- end -}}

{{/* Ports of a media Service. Arguments: root, protocols (list), only (list of listeners, or empty for all), type. */}}
{{- define "weir.servicePorts" -}}
{{- $root := .root -}}
{{- range $name := (include "weir.listeners" $root | fromJson).on }}
{{- $protocol := include "weir.protocol" $name }}
{{- if and (has $protocol $.protocols) (or (empty $.only) (has $name $.only)) }}
{{- $listener := index $root.Values.listeners $name }}
- name: {{ include "weir.portName" $name }}
  port: {{ $listener.servicePort | default $listener.port }}
  targetPort: {{ include "weir.portName" $name }}
  protocol: {{ $protocol }}
  {{- if and $listener.nodePort $.nodePorts (ne $.type "ClusterIP") }}
  nodePort: {{ $listener.nodePort }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The Service whose balancer the candidate comes from; in a pod's arguments. */}}
{{- define "weir.candidateService" -}}
{{- if .Values.perPodServices.enabled -}}$(POD_NAME)
{{- else if eq .Values.service.layout "single" -}}{{ include "weir.fullname" . }}
{{- else -}}{{ include "weir.fullname" . }}-udp
{{- end -}}
{{- end -}}

{{/* The port of a listener as clients of WebRTC see it. Arguments: root, name, override. */}}
{{- define "weir.seenPort" -}}
{{- $v := .root.Values -}}
{{- $listener := index $v.listeners .name -}}
{{- if .override -}}{{ .override }}
{{- else if eq $v.candidate.from "loadBalancer" -}}{{ $listener.servicePort | default $listener.port }}
{{- else if or $v.hostNetwork $v.hostPorts -}}{{ $listener.port }}
{{- else if and (has $v.candidate.from (list "hostIP" "node")) $listener.nodePort -}}{{ $listener.nodePort }}
{{- else -}}{{ $listener.port }}
{{- end -}}
{{- end -}}

{{/* Of media; of ICE over TCP: empty where that needs no word. */}}
{{- define "weir.candidatePort" -}}
{{- include "weir.seenPort" (dict "root" . "name" "rtc" "override" .Values.candidate.port) -}}
{{- end -}}
{{- define "weir.candidateTcpPort" -}}
{{- $seen := include "weir.seenPort" (dict "root" . "name" "rtcTcp" "override" .Values.candidate.tcpPort) -}}
{{- if and .Values.listeners.rtcTcp.enabled (ne $seen (toString (int .Values.listeners.rtcTcp.port))) -}}{{ $seen }}{{- end -}}
{{- end -}}

{{/* "true" where the API server is asked for the candidate. */}}
{{- define "weir.candidateFromApi" -}}
{{- if and .Values.listeners.rtc.enabled (has .Values.candidate.from (list "loadBalancer" "node")) -}}true{{- end -}}
{{- end -}}

{{- define "weir.pods" -}}
{{- if .Values.autoscaling.enabled -}}{{ .Values.autoscaling.maxReplicas }}{{- else -}}{{ .Values.replicas }}{{- end -}}
{{- end -}}

{{/* What the schema can't say. */}}
{{- define "weir.check" -}}
{{- $v := .Values -}}
{{- if and $v.perPodServices.enabled (ne $v.mode "statefulset") }}{{ fail "perPodServices needs mode statefulset" }}{{ end -}}
{{- if and $v.autoscaling.enabled (eq $v.mode "daemonset") }}{{ fail "autoscaling does not go with mode daemonset" }}{{ end -}}
{{- if lt (int $v.autoscaling.maxReplicas) (int $v.autoscaling.minReplicas) }}{{ fail "autoscaling.maxReplicas is below minReplicas" }}{{ end -}}
{{- if and (eq $v.candidate.from "value") (empty $v.candidate.value) }}{{ fail "candidate.from value needs candidate.value" }}{{ end -}}
{{- if and (has $v.candidate.from (list "auto" "value")) (or $v.candidate.port $v.candidate.tcpPort) }}{{ fail (printf "candidate.port and tcpPort do not go with candidate.from %s" $v.candidate.from) }}{{ end -}}
{{- if and (ne $v.candidate.from "value") $v.candidate.value }}{{ fail "candidate.value needs candidate.from value" }}{{ end -}}
{{- if eq $v.candidate.from "loadBalancer" -}}
{{- if $v.perPodServices.enabled -}}
{{- if ne $v.perPodServices.type "LoadBalancer" }}{{ fail "candidate.from loadBalancer needs perPodServices.type LoadBalancer" }}{{ end -}}
{{- else if or (not $v.service.enabled) (ne $v.service.type "LoadBalancer") }}{{ fail "candidate.from loadBalancer needs service.type LoadBalancer" }}{{ end -}}
{{- end -}}
{{- if and $v.listeners.rtc.enabled (has $v.candidate.from (list "hostIP" "node")) (not (or $v.hostNetwork $v.hostPorts $v.listeners.rtc.nodePort $v.candidate.port)) }}{{ fail (printf "candidate.from %s needs hostPorts, hostNetwork, listeners.rtc.nodePort or candidate.port: nobody reaches the pod's port at the node" $v.candidate.from) }}{{ end -}}
{{- if and $v.listeners.rtcTcp.enabled (not $v.listeners.rtc.enabled) }}{{ fail "listeners.rtcTcp needs listeners.rtc" }}{{ end -}}
{{- if and $v.proxyProtocol.enabled (empty $v.proxyProtocol.networks) }}{{ fail "proxyProtocol.enabled needs proxyProtocol.networks" }}{{ end -}}
{{- range $name := list "rtmps" "https" "apis" -}}
{{- if and (index $v.listeners $name).enabled (empty $v.tls.secretName) }}{{ fail (printf "listeners.%s needs tls.secretName" $name) }}{{ end -}}
{{- end -}}
{{- $seen := dict (printf "TCP %v" $v.control.port) "control.port" -}}
{{- range $name := (include "weir.listeners" . | fromJson).on -}}
{{- $key := printf "%s %v" (include "weir.protocol" $name) (index $v.listeners $name).port -}}
{{- if hasKey $seen $key }}{{ fail (printf "listeners.%s.port is that of %s" $name (index $seen $key)) }}{{ end -}}
{{- $_ := set $seen $key (printf "listeners.%s" $name) -}}
{{- end -}}
{{- end -}}
