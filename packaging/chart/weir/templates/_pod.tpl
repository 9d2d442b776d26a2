{{- define "weir.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* A container of weirctl k8s-candidate. Arguments: root, name, watch. */}}
{{- define "weir.candidateContainer" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
- name: {{ .name }}
  image: {{ include "weir.image" $root | quote }}
  imagePullPolicy: {{ $v.image.pullPolicy }}
  command: [/usr/bin/weirctl]
  args:
    - k8s-candidate
    - --namespace
    - $(POD_NAMESPACE)
    {{- if eq $v.candidate.from "node" }}
    - --node
    - $(NODE_NAME)
    {{- else }}
    - --service
    - {{ include "weir.candidateService" $root | quote }}
    {{- end }}
    {{- $port := include "weir.candidatePort" $root }}
    {{- if ne $port (toString (int $v.listeners.rtc.port)) }}
    - --port
    - {{ $port | quote }}
    {{- end }}
    {{- with include "weir.candidateTcpPort" $root }}
    - --tcp-port
    - {{ . | quote }}
    {{- end }}
    - --output
    - /etc/weir/candidate.d/candidate.conf
    {{- if .watch }}
    - --watch
    - --interval
    - {{ $v.candidate.interval }}
    {{- end }}
  env:
    - name: POD_NAME
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
    - name: POD_NAMESPACE
      valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
    - name: NODE_NAME
      valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
  securityContext:
    {{- include "weir.securityContext" $root | nindent 4 }}
  resources:
    {{- toYaml $v.candidateResources | nindent 4 }}
  volumeMounts:
    - name: candidate
      mountPath: /etc/weir/candidate.d
    - name: run
      mountPath: /run/weir
    - name: kube-api
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
{{- end -}}

{{- define "weir.pod" -}}
{{- $v := .Values -}}
{{- $api := include "weir.candidateFromApi" . -}}
metadata:
  labels:
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- include "weir.selector" . | nindent 4 }}
  {{- if or $v.rollOnConfigChange $v.podAnnotations }}
  annotations:
    {{- if $v.rollOnConfigChange }}
    checksum/config: {{ printf "%s\n%s" (include "weir.config" .) $v.extraConfig | sha256sum }}
    {{- end }}
    {{- with $v.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "weir.serviceAccount" . }}
  automountServiceAccountToken: false
  # Variables of Services named weir-… would look like options of Weir.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add (int $v.drain.seconds) 20 }}
  {{- with $v.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- if $v.hostNetwork }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ int $v.runAsUser }}
    runAsGroup: {{ int $v.runAsUser }}
    fsGroup: {{ int $v.runAsUser }}
    seccompProfile:
      type: RuntimeDefault
  {{- if $api }}
  initContainers:
    {{- include "weir.candidateContainer" (dict "root" . "name" "candidate" "watch" false) | nindent 4 }}
  {{- end }}
  containers:
    - name: weir
      image: {{ include "weir.image" . | quote }}
      imagePullPolicy: {{ $v.image.pullPolicy }}
      command: [/usr/sbin/weir]
      env:
        {{- if or (eq $v.candidate.from "hostIP") (contains "HOST_IP" $v.extraConfig) }}
        - name: HOST_IP
          valueFrom: {fieldRef: {fieldPath: status.hostIP}}
        {{- end }}
        {{- if $v.token.enabled }}
        - name: WEIR_API_TOKEN
          valueFrom: {secretKeyRef: {name: {{ include "weir.secret" . }}, key: {{ $v.token.key }}}}
        - name: WEIR_HINT_SECRET
          valueFrom: {secretKeyRef: {name: {{ include "weir.secret" . }}, key: {{ $v.token.hintKey }}, optional: true}}
        {{- end }}
        {{- with $v.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: control
          containerPort: {{ int $v.control.port }}
          protocol: TCP
        {{- range $name := (include "weir.listeners" . | fromJson).on }}
        {{- $listener := index $v.listeners $name }}
        - name: {{ include "weir.portName" $name }}
          containerPort: {{ int $listener.port }}
          {{- if and $v.hostPorts (not $v.hostNetwork) }}
          hostPort: {{ int $listener.port }}
          {{- end }}
          protocol: {{ include "weir.protocol" $name }}
        {{- end }}
      livenessProbe:
        httpGet: {path: /healthz, port: control}
        {{- toYaml $v.probes.liveness | nindent 8 }}
      readinessProbe:
        httpGet: {path: /readyz, port: control}
        {{- toYaml $v.probes.readiness | nindent 8 }}
      lifecycle:
        preStop:
          exec:
            # No shell in the image. From here /readyz says 503 and balancers look elsewhere; SIGQUIT follows 5 s later.
            command: [/usr/bin/weirctl, drain, --wait, "5"]
      securityContext:
        {{- include "weir.securityContext" . | nindent 8 }}
      resources:
        {{- toYaml $v.resources | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/weir/conf.d
          readOnly: true
        - name: run
          mountPath: /run/weir
        {{- if $api }}
        - name: candidate
          mountPath: /etc/weir/candidate.d
          readOnly: true
        {{- end }}
        {{- if $v.tls.secretName }}
        - name: tls
          mountPath: /etc/weir/tls
          readOnly: true
        {{- end }}
        {{- with $v.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- if and $api $v.candidate.watch }}
    {{- include "weir.candidateContainer" (dict "root" . "name" "candidate-watch" "watch" true) | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "weir.fullname" . }}
    # Sessions of WebRTC and SRT, and the socket of weirctl: they outlive a container, not the pod.
    - name: run
      emptyDir: {}
    {{- if $api }}
    - name: candidate
      emptyDir: {}
    - name: kube-api
      projected:
        sources:
          - serviceAccountToken: {path: token, expirationSeconds: 3600}
          - configMap:
              name: kube-root-ca.crt
              items: [{key: ca.crt, path: ca.crt}]
          - downwardAPI:
              items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]
    {{- end }}
    {{- if $v.tls.secretName }}
    - name: tls
      secret:
        secretName: {{ $v.tls.secretName }}
        defaultMode: 0440
    {{- end }}
    {{- with $v.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $v.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
