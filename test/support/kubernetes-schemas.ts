/** What Kubernetes takes of the kinds that deploy/ has, as far as deploy/ uses it: a field that is not here is a mistake or belongs here. */
import { z } from 'zod';

const name = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
const labelValue = z.string().regex(/^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/);
const labels = z.record(z.string().regex(/^([a-z0-9.-]+\/)?[A-Za-z0-9._-]{1,63}$/), labelValue);
const annotations = z.record(z.string(), z.string());
const selector = z.strictObject({ matchLabels: labels });
const quantity = z.string().regex(/^\d+(m|Ki|Mi|Gi)?$/);
const seconds = z.int().nonnegative();
const port = z.int().min(1).max(65_535);
const portName = z.string().regex(/^[a-z][a-z0-9-]{0,14}$/);

const metadata = z.strictObject({
  name,
  namespace: name.optional(),
  labels: labels.optional(),
  annotations: annotations.optional(),
});
const probe = z.strictObject({
  httpGet: z.strictObject({ path: z.string().startsWith('/'), port: portName }),
  initialDelaySeconds: seconds,
  periodSeconds: seconds.min(1),
  timeoutSeconds: seconds.min(1),
  failureThreshold: z.int().min(1),
});
const keyOfSecret = z.strictObject({ name, key: z.string(), optional: z.boolean().optional() });
const amounts = z.strictObject({ cpu: quantity.optional(), memory: quantity });
const container = z.strictObject({
  name,
  image: z.string().regex(/^[^:]+:[A-Za-z0-9_][A-Za-z0-9_.-]*$/),
  imagePullPolicy: z.enum(['Always', 'IfNotPresent']).optional(),
  command: z.array(z.string()).nonempty(),
  ports: z.array(z.strictObject({ name: portName, containerPort: port, protocol: z.literal('TCP') })).optional(),
  env: z
    .array(
      z.union([
        z.strictObject({ name: z.string(), value: z.string() }),
        z.strictObject({ name: z.string(), valueFrom: z.strictObject({ secretKeyRef: keyOfSecret }) }),
      ]),
    )
    .optional(),
  envFrom: z
    .array(
      z.union([
        z.strictObject({ configMapRef: z.strictObject({ name }) }),
        z.strictObject({ secretRef: z.strictObject({ name }) }),
      ]),
    )
    .optional(),
  livenessProbe: probe.optional(),
  readinessProbe: probe.optional(),
  lifecycle: z
    .strictObject({ preStop: z.strictObject({ exec: z.strictObject({ command: z.array(z.string()) }) }) })
    .optional(),
  resources: z.strictObject({ requests: amounts.required(), limits: amounts }),
  securityContext: z.strictObject({
    allowPrivilegeEscalation: z.literal(false),
    readOnlyRootFilesystem: z.literal(true),
    capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) }),
  }),
  volumeMounts: z.array(z.strictObject({ name, mountPath: z.string().startsWith('/') })),
});
const podSpec = z.strictObject({
  serviceAccountName: name.optional(),
  automountServiceAccountToken: z.literal(false),
  enableServiceLinks: z.literal(false),
  terminationGracePeriodSeconds: seconds.optional(),
  restartPolicy: z.enum(['Always', 'Never']).optional(),
  securityContext: z.strictObject({
    runAsNonRoot: z.literal(true),
    runAsUser: z.literal(1000),
    runAsGroup: z.literal(1000),
    fsGroup: z.literal(1000).optional(),
    seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
  }),
  affinity: z
    .strictObject({
      podAntiAffinity: z.strictObject({
        preferredDuringSchedulingIgnoredDuringExecution: z.array(
          z.strictObject({
            weight: z.int().min(1).max(100),
            podAffinityTerm: z.strictObject({ topologyKey: z.string(), labelSelector: selector }),
          }),
        ),
      }),
    })
    .optional(),
  containers: z.array(container).length(1),
  volumes: z.array(z.strictObject({ name, emptyDir: z.strictObject({ sizeLimit: quantity }) })),
});
const template = z.strictObject({
  metadata: z.strictObject({ labels, annotations: annotations.optional() }),
  spec: podSpec,
});

const of = <Kind extends string, Shape extends z.ZodRawShape>(apiVersion: string, kind: Kind, shape: Shape) =>
  z.strictObject({ apiVersion: z.literal(apiVersion), kind: z.literal(kind), metadata, ...shape });
const peer = z.strictObject({ namespaceSelector: selector.optional(), podSelector: selector });

export const kubernetesManifest = z.discriminatedUnion('kind', [
  of('v1', 'ServiceAccount', { automountServiceAccountToken: z.literal(false) }),
  of('v1', 'ConfigMap', { data: z.record(z.string(), z.string()) }),
  of('v1', 'Service', {
    spec: z.strictObject({
      type: z.literal('ClusterIP').optional(),
      clusterIP: z.literal('None').optional(),
      sessionAffinity: z.literal('ClientIP').optional(),
      selector: labels,
      ports: z.array(z.strictObject({ name: portName, port, targetPort: portName, protocol: z.literal('TCP') })),
    }),
  }),
  of('apps/v1', 'Deployment', {
    spec: z.strictObject({
      replicas: z.int().positive().optional(),
      selector,
      strategy: z.strictObject({
        type: z.literal('RollingUpdate'),
        rollingUpdate: z.strictObject({ maxSurge: z.int(), maxUnavailable: z.int() }),
      }),
      template,
    }),
  }),
  of('batch/v1', 'Job', {
    spec: z.strictObject({
      backoffLimit: z.int(),
      activeDeadlineSeconds: seconds,
      ttlSecondsAfterFinished: seconds.optional(),
      template,
    }),
  }),
  of('autoscaling/v2', 'HorizontalPodAutoscaler', {
    spec: z.strictObject({
      scaleTargetRef: z.strictObject({ apiVersion: z.literal('apps/v1'), kind: z.literal('Deployment'), name }),
      minReplicas: z.int().positive(),
      maxReplicas: z.int().positive(),
      metrics: z.array(
        z.strictObject({
          type: z.literal('Resource'),
          resource: z.strictObject({
            name: z.literal('cpu'),
            target: z.strictObject({ type: z.literal('Utilization'), averageUtilization: z.int().min(1).max(100) }),
          }),
        }),
      ),
      behavior: z.strictObject({ scaleDown: z.strictObject({ stabilizationWindowSeconds: seconds }) }),
    }),
  }),
  of('keda.sh/v1alpha1', 'ScaledObject', {
    spec: z.strictObject({
      scaleTargetRef: z.strictObject({ name }),
      minReplicaCount: z.int().positive(),
      maxReplicaCount: z.int().positive(),
      cooldownPeriod: seconds,
      triggers: z.array(
        z.strictObject({
          type: z.literal('prometheus'),
          metadata: z.strictObject({ serverAddress: z.url(), query: z.string(), threshold: z.string().regex(/^\d+$/) }),
        }),
      ),
    }),
  }),
  of('policy/v1', 'PodDisruptionBudget', { spec: z.strictObject({ maxUnavailable: z.int().positive(), selector }) }),
  of('networking.k8s.io/v1', 'NetworkPolicy', {
    spec: z.strictObject({
      podSelector: selector,
      policyTypes: z.tuple([z.literal('Ingress')]),
      ingress: z
        .array(
          z.strictObject({
            ports: z.array(z.strictObject({ port: portName, protocol: z.literal('TCP') })),
            from: z.array(peer).nonempty(),
          }),
        )
        .optional(),
    }),
  }),
  of('monitoring.coreos.com/v1', 'ServiceMonitor', {
    spec: z.strictObject({
      selector,
      endpoints: z.array(
        z.strictObject({
          port: portName,
          path: z.string(),
          interval: z.string(),
          honorLabels: z.literal(true),
          authorization: z.strictObject({ credentials: keyOfSecret }),
          relabelings: z.array(z.strictObject({ targetLabel: z.string(), replacement: z.string() })),
        }),
      ),
    }),
  }),
]);

export type KubernetesManifest = z.infer<typeof kubernetesManifest>;
export type ManifestOf<Kind extends KubernetesManifest['kind']> = Extract<KubernetesManifest, { kind: Kind }>;
