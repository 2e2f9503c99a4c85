/** What an action of the type kubernetes_job says, and returns. */
import { z } from 'zod';
import { containerImage, kubernetesNamespace, kubernetesQuantity, kubernetesQueue } from '../../schemas/kubernetes.ts';

const MAX_PODS = 10_000;
const MAX_SECONDS = 604_800;
const MAX_TEXT = 32_768;

// No process can have it, and no column.
const text = z
  .string()
  .max(MAX_TEXT)
  .refine((value) => !value.includes('\0'), { error: 'must not contain NUL' });
const pods = z.int().min(1).max(MAX_PODS);

/** Null is left out: a template of a parameter that was not given is null. */
export const jobRequest = z.strictObject({
  job_name: z
    .string()
    .min(1)
    .max(255)
    .regex(/^(?!-)\P{Cc}*$/u, 'must not begin with - nor contain control characters')
    .nullish()
    .meta({ description: 'The Job is named after it: lower-case letters, digits and -, and a digest' }),
  namespace: kubernetesNamespace
    .nullish()
    .meta({ description: 'One of KUBERNETES_NAMESPACES; VOLCANO_NAMESPACE without it' }),
  queue: kubernetesQueue.nullish().meta({ description: 'Of Volcano; VOLCANO_DEFAULT_QUEUE without it' }),
  image: containerImage.nullish().meta({
    description: 'VOLCANO_SESSION_IMAGE without it',
    examples: ['python:3.11-slim'],
  }),
  command: z
    .array(text)
    .min(1)
    .max(1_000)
    .nullish()
    .meta({ description: 'The program and its arguments; that of the image without it', examples: [['python', '-V']] }),
  env: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,254}$/, 'must be letters, digits and _, and not begin with a digit'),
      z.union([text, z.number(), z.boolean()]),
    )
    .nullish()
    .meta({ description: 'Environment variables. The only field that may hold secrets' }),
  cpu: kubernetesQuantity.nullish().meta({
    description: 'Request and limit of a pod; VOLCANO_SESSION_CPU without it',
    examples: ['500m'],
  }),
  memory: kubernetesQuantity.nullish().meta({
    description: 'Request and limit of a pod; VOLCANO_SESSION_MEMORY without it',
    examples: ['512Mi'],
  }),
  min_member: pods.nullish().meta({
    description: 'So many pods start together or not at all; raised to `parallelism`',
  }),
  parallelism: pods.nullish().meta({ description: 'Pods at a time; 1 without it' }),
  completions: pods.nullish().meta({ description: 'Pods that have to succeed; as many as `parallelism` without it' }),
  ttl_seconds_after_finished: z.int().min(0).max(MAX_SECONDS).nullish().meta({
    description: 'Kubernetes removes the Job so long after its end; 3600 without it, and at least 300',
  }),
  wait: z
    .boolean()
    .nullish()
    .meta({ description: 'Left out: true. false: the action completes as soon as the cluster has the Job' }),
  timeout_seconds: z
    .int()
    .min(1)
    .max(MAX_SECONDS)
    .nullish()
    .meta({ description: 'How long the action waits for the Job; VOLCANO_JOB_TIMEOUT_SECONDS without it' }),
});
export type JobRequest = z.output<typeof jobRequest>;

export const jobResult = z.discriminatedUnion('status', [
  z.object({
    status: z.literal('submitted'),
    job_name: z.string(),
    waited: z.boolean().meta({ description: 'The Job has completed' }),
    logs: z.string().nullable().meta({
      description: 'The last 256 KiB that it wrote; null where the action did not wait, or the cluster has none',
    }),
  }),
  z.object({ status: z.literal('disabled').meta({ description: 'ENABLE_VOLCANO_SCHEDULER is not set' }) }),
]);
export type JobResult = z.output<typeof jobResult>;
