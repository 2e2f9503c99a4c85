{{- define "orchestrator.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "orchestrator.podSecurity" -}}
automountServiceAccountToken: false
# A Service of this name would set ORCHESTRATOR_PORT, which is read as a setting.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "orchestrator.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "orchestrator.apartByHost" -}}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- . | nindent 14 }}
{{- end }}

{{- define "orchestrator.apiLabels" -}}
app.kubernetes.io/name: orchestrator
app.kubernetes.io/component: api
{{- end }}

{{- define "orchestrator.workerLabels" -}}
app.kubernetes.io/name: orchestrator
app.kubernetes.io/component: worker
pool: {{ .pool }}
{{- end }}

{{- define "orchestrator.settings" -}}
envFrom:
  - configMapRef:
      name: orchestrator-config
  - secretRef:
      name: {{ .Values.secretName }}
{{- end }}

{{- define "orchestrator.probes" -}}
livenessProbe:
  httpGet:
    path: /livez
    port: {{ . }}
  initialDelaySeconds: 30
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /ready
    port: {{ . }}
  initialDelaySeconds: 10
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 3
{{- end }}

{{- define "orchestrator.mounts" -}}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  - name: cache
    mountPath: /app/cache
{{- end }}

{{- define "orchestrator.volumes" -}}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: 256Mi
  - name: cache
    emptyDir:
      sizeLimit: 256Mi
{{- end }}

{{- define "orchestrator.podAnnotations" -}}
prometheus.io/scrape: 'true'
prometheus.io/path: /metrics
# A change of a setting replaces the pods.
checksum/config: {{ toYaml .Values.config | sha256sum }}
{{- end }}

{{- define "orchestrator.cpuScaler" -}}
metrics:
  - type: Resource
    resource:
      name: cpu
      target:
        type: Utilization
        averageUtilization: 70
behavior:
  scaleDown:
    stabilizationWindowSeconds: 300
{{- end }}

{{- define "orchestrator.fromPrometheus" -}}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ .Values.networkPolicy.prometheusNamespace }}
  podSelector:
    matchLabels:
      {{- toYaml .Values.networkPolicy.prometheus | nindent 6 }}
{{- end }}
