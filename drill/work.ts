/** The work that goes on meanwhile: workflows whose actions call a service that takes its time and counts its calls. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startService } from '../test/support/service.ts';

export interface Work {
  /** Begins so many runs; a request that gets no answer is repeated with its key until it has one. */
  accept(runs: number): Promise<void>;
  /** Ids of the runs that were answered with 202. */
  accepted: ReadonlySet<string>;
  /** Calls under way. */
  active(): number;
  /** Calls beyond the first of each task. */
  executedAgain(): number;
  close(): Promise<void>;
}

const AT_ONCE = 8;
const AGAIN_AFTER_MS = 100;
const PATIENCE_MS = 90_000;
/** Milliseconds that a call takes, in turn. */
const DURATIONS = [50, 120, 300, 80, 200];

type Dependencies = Record<string, string[]>;
const WORKFLOWS: Record<string, Dependencies> = {
  chain: { a: [], b: ['a'], c: ['b'], d: ['c'] },
  diamond: { a: [], b: ['a'], c: ['a'], d: ['b', 'c'] },
  'fan-out': {
    first: [],
    ...Object.fromEntries(['1', '2', '3', '4', '5', '6'].map((n) => [`part_${n}`, ['first']])),
    last: ['part_1', 'part_2', 'part_3', 'part_4', 'part_5', 'part_6'],
  },
};

export async function startWork(api: string): Promise<Work> {
  const keys = new Map<string, number>();
  let active = 0;
  const service = await startService(async ({ query, idempotencyKey = '' }) => {
    keys.set(idempotencyKey, (keys.get(idempotencyKey) ?? 0) + 1);
    active += 1;
    await sleep(Number(query['ms']));
    active -= 1;
    return { body: { done: idempotencyKey } };
  });
  const workflows: string[] = [];
  for (const [name, dependencies] of Object.entries(WORKFLOWS)) {
    const actions = Object.entries(dependencies).map(([id, dependsOn], index) => ({
      action_id: id,
      action_type: 'http_request',
      config: { url: `${service.url}/work?ms=${DURATIONS[index % DURATIONS.length]}` },
      depends_on: dependsOn,
    }));
    workflows.push(await post(`${api}/workflows`, { name, actions }, `workflow-${name}`, 201, 'workflow_id'));
  }
  const accepted = new Set<string>();
  let begun = 0;

  async function acceptOne(): Promise<void> {
    begun += 1;
    const workflow = workflows[begun % workflows.length] ?? '';
    accepted.add(await post(`${api}/workflows/${workflow}/execute`, {}, `run-${begun}`, 202, 'execution_id'));
  }
  return {
    accepted,
    active: () => active,
    executedAgain: () => [...keys.values()].reduce((sum, calls) => sum + calls - 1, 0),
    async accept(runs) {
      let left = runs;
      const next = async () => {
        while (left > 0) {
          left -= 1;
          await acceptOne();
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, next));
    },
    close: () => service.close(),
  };
}

/** Gives the field `id` of the answer. */
async function post(url: string, body: object, key: string, status: number, id: string): Promise<string> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: JSON.stringify(body),
    }).catch(() => undefined);
    const text = await answer?.text().catch(() => undefined);
    if (answer?.status === status && text !== undefined) {
      const value = (JSON.parse(text) as Record<string, unknown>)[id]; // An answer is an object.
      if (typeof value === 'string') return value;
    }
    const isPassing = answer === undefined || text === undefined || answer.status >= 500 || answer.status === 429;
    if (!isPassing || performance.now() > until) throw new Error(`${url} answered ${answer?.status}: ${text}`);
    await sleep(AGAIN_AFTER_MS);
  }
}
