/** What Kubernetes is given for an action: names, PodGroup and Job. */
import type { JsonObject } from '../../schemas/json.ts';
import type { JobRequest } from './schemas.ts';

const MANAGED_BY = 'app.kubernetes.io/managed-by';
const INSTALLATION = 'orchestrator/installation';
export const ATTEMPT = 'orchestrator/attempt';

const MAX_NAME = 63;
/** Hex digits of the idempotency key's SHA-256: the same for every attempt and delivery of a task, and of no other. */
const DIGEST_DIGITS = 12;
const DEFAULT_TTL_SECONDS = 3_600;
/** A worker that takes over from one that died still finds a Job that ended in between. */
const MIN_TTL_SECONDS = 300;
const USER = 1_000;

/** A Job of ours, as the cluster finds it. */
export interface JobKey {
  namespace: string;
  name: string;
}

export interface JobDefaults {
  namespace: string;
  queue: string;
  image: string;
  cpu: string;
  memory: string;
  timeoutSeconds: number;
}

/** Whose it is. */
export interface JobOrigin {
  installation: string;
  tenantId: string;
  runId: string;
  actionId: string;
  attempt: number;
}

/** `digest`: hex, of which so many digits are used. */
export function jobName(wanted: string | null | undefined, digest: string): string {
  const slug = (wanted ?? 'job').toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  const cut = slug.slice(0, MAX_NAME - DIGEST_DIGITS - 1).replaceAll(/^-+|-+$/g, '');
  return `${cut === '' ? 'job' : cut}-${digest.slice(0, DIGEST_DIGITS)}`;
}

/** Finds what this installation has put there. */
export function selectorOf(installation: string): string {
  return `${MANAGED_BY}=orchestrator,${INSTALLATION}=${installation}`;
}

/** The PodGroup and the Job, as one document for `kubectl apply`. */
export function manifestOf(key: JobKey, request: JobRequest, defaults: JobDefaults, origin: JobOrigin): JsonObject {
  const { namespace, name } = key;
  const queue = request.queue ?? defaults.queue;
  const parallelism = request.parallelism ?? 1;
  const labels = { [MANAGED_BY]: 'orchestrator', [INSTALLATION]: origin.installation };
  const group = { 'scheduling.k8s.io/group-name': name, 'volcano.sh/queue-name': queue, 'volcano.sh/task-spec': 'job' };
  const annotations = {
    ...group,
    'orchestrator/tenant': origin.tenantId,
    'orchestrator/execution': origin.runId,
    'orchestrator/action': origin.actionId,
    [ATTEMPT]: String(origin.attempt),
  };
  const resources = { cpu: request.cpu ?? defaults.cpu, memory: request.memory ?? defaults.memory };
  return {
    apiVersion: 'v1',
    kind: 'List',
    items: [
      {
        apiVersion: 'scheduling.volcano.sh/v1beta1',
        kind: 'PodGroup',
        metadata: { name, namespace, labels },
        spec: { minMember: Math.max(request.min_member ?? 1, parallelism), minResources: resources, queue },
      },
      {
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: { name, namespace, labels, annotations },
        spec: {
          parallelism,
          completions: request.completions ?? parallelism,
          // What is tried again is the action, as its own retry policy says.
          backoffLimit: 0,
          ttlSecondsAfterFinished: Math.max(request.ttl_seconds_after_finished ?? DEFAULT_TTL_SECONDS, MIN_TTL_SECONDS),
          template: { metadata: { labels, annotations: group }, spec: podOf(request, defaults, resources) },
        },
      },
    ],
  };
}

function podOf(request: JobRequest, defaults: JobDefaults, resources: JsonObject): JsonObject {
  const { command } = request;
  const ofUser = { runAsUser: USER, runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } };
  return {
    schedulerName: 'volcano',
    restartPolicy: 'Never',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    securityContext: ofUser,
    containers: [
      {
        name: 'job',
        image: request.image ?? defaults.image,
        ...(command == null ? {} : { command }),
        env: Object.entries(request.env ?? {}).map(([name, value]) => ({ name, value: String(value) })),
        resources: { requests: resources, limits: resources },
        securityContext: { ...ofUser, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
  };
}
