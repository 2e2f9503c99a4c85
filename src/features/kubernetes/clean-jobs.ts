/**
 * Removes from the cluster what nobody wants any more. Each second: Jobs whose execution was cancelled or whose task has
 * ended without an output, whichever worker had applied them. Each minute: PodGroups of Jobs that the cluster has removed by
 * itself, which it leaves behind, and what has the label of this installation and no row.
 */
import type { Logger } from '../../engine/ports/logger.ts';
import { type JobKey, selectorOf } from './domain.ts';
import type { Kubectl } from './kubectl.ts';
import type { KubernetesJobs } from './ports.ts';
import { namesIn } from './read-output.ts';
import { answered } from './run-job.ts';

export interface CleanDeps {
  jobs: Omit<KubernetesJobs, 'open'>;
  kubectl: Pick<Kubectl, 'list' | 'remove'>;
  namespaces: ReadonlySet<string>;
  log: Logger;
}

/** Each is a process of kubectl. */
const CLAIMED_AT_ONCE = 5;

/** A Job that cannot be removed now is claimed again after a while, by any worker. */
export async function removeUnwanted({ jobs, kubectl, log }: CleanDeps, signal: AbortSignal): Promise<void> {
  const keys = await jobs.claimUnwanted(CLAIMED_AT_ONCE);
  const ends = await Promise.allSettled(
    keys.map(async (key) => {
      await removeFromCluster(kubectl, key, signal);
      await jobs.remove([key]);
      log.info('kubernetes_job_removed', { job_name: key.name, namespace: key.namespace });
    }),
  );
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

export async function removeOrphans(deps: CleanDeps, signal: AbortSignal): Promise<void> {
  const selector = selectorOf(await deps.jobs.installation());
  for (const namespace of deps.namespaces) await removeOrphansOf(deps, { namespace, selector }, signal);
}

async function removeOrphansOf(
  { jobs, kubectl, log }: CleanDeps,
  { namespace, selector }: { namespace: string; selector: string },
  signal: AbortSignal,
): Promise<void> {
  const namesOf = async (kind: 'jobs' | 'podgroups') =>
    namesIn(answered('get', await kubectl.list(kind, namespace, selector, signal)).stdout.toString('utf8'));
  // Read before the cluster is: a Job that is applied in between is not missed there.
  const completed = await jobs.completed(namespace);
  const jobsThere = new Set(await namesOf('jobs'));
  const there = new Set([...jobsThere, ...(await namesOf('podgroups'))]);
  const gone = completed.filter((name) => !jobsThere.has(name)).map((name) => ({ namespace, name }));
  for (const key of gone) await removeFromCluster(kubectl, key, signal);
  // A row is there before its Job, so what was found in the cluster and has none now is nobody's.
  const known = await jobs.known(namespace, [...there]);
  for (const name of there) {
    if (known.has(name)) continue;
    await removeFromCluster(kubectl, { namespace, name }, signal);
    log.info('kubernetes_orphan_removed', { job_name: name, namespace });
  }
  await jobs.remove(gone);
}

async function removeFromCluster(kubectl: Pick<Kubectl, 'remove'>, key: JobKey, signal: AbortSignal): Promise<void> {
  for (const kind of ['job', 'podgroup'] as const) answered('delete', await kubectl.remove(kind, key, signal));
}
