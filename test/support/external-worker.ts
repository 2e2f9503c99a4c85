/** A worker outside, as the public door sees it. */
import type { Answer, Client } from '../harness/client/client.ts';

export interface Leased {
  task_id: string;
  lease_token: string;
  execution_id: string;
  action_id: string;
  attempt: number;
  topic: string;
  input: unknown;
  deadline: string;
  lease_expires_at: string;
}

export interface PollOptions {
  worker?: string;
  max?: number;
  wait?: number;
  lease?: number;
  tenant?: string;
}

const tenantOf = (tenant: string | undefined) => (tenant === undefined ? {} : { 'x-tenant-id': tenant });

export async function poll(api: Client, topic: string, options: PollOptions = {}): Promise<Leased[]> {
  const { worker = 'outside', max = 1, wait = 0, lease = 30, tenant } = options;
  const asked = { topic, worker_id: worker, max, wait_seconds: wait, lease_seconds: lease };
  const answer = await api.post('/tasks/poll', asked, tenantOf(tenant));
  if (answer.status !== 200) throw new Error(`the poll was answered with ${answer.status}: ${answer.text}`);
  return (answer.body as { tasks: Leased[] }).tasks; // As the document has it.
}

/** The one task that comes, waited for. */
export async function take(api: Client, topic: string, options: PollOptions = {}): Promise<Leased> {
  const [task] = await poll(api, topic, { wait: 20, ...options });
  if (task === undefined) throw new Error(`nothing of topic ${topic} came`);
  return task;
}

type Lease = Pick<Leased, 'task_id' | 'lease_token'>;

export function complete(
  api: Client,
  { task_id, lease_token }: Lease,
  output: unknown,
  logs?: object[],
): Promise<Answer> {
  return api.post(`/tasks/${task_id}/complete`, { lease_token, output, ...(logs === undefined ? {} : { logs }) });
}
export function fail(api: Client, { task_id, lease_token }: Lease, error: unknown, retryable = true): Promise<Answer> {
  return api.post(`/tasks/${task_id}/fail`, { lease_token, error, retryable });
}
export function heartbeat(api: Client, { task_id, lease_token }: Lease, more: object = {}): Promise<Answer> {
  return api.post(`/tasks/${task_id}/heartbeat`, { lease_token, ...more });
}
