/** The work that goes on meanwhile: workflows whose actions call a service that takes its time and keeps its calls. */
import { once } from 'node:events';
import { accepted, field } from '../test/harness/client/client.ts';
import { insist, post } from '../test/harness/client/insist.ts';
import type { Station } from '../test/harness/faults/station.ts';
import { until } from '../test/harness/until.ts';

export interface Work {
  /** Begins so many runs; a request that gets no answer is repeated with its key until it has one. */
  accept(runs: number): Promise<void>;
  /** Ids of the runs that were answered with 202. */
  accepted: ReadonlySet<string>;
  /**
   * Begins so many runs. None of their calls is answered until what it resolves to is called, so that so many of them are
   * under way however fast the machine is.
   */
  begin(runs: number, busy: number): Promise<() => void>;
  /** Calls beyond the first of each task. */
  executedAgain(): number;
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

export async function startWork({ apiUrl, service }: Station): Promise<Work> {
  const { calls } = service;
  const workflows: string[] = [];
  for (const [name, dependencies] of Object.entries(WORKFLOWS)) {
    const actions = Object.entries(dependencies).map(([id, dependsOn], index) => {
      const json = { n: index, from: [], work_ms: DURATIONS[index % DURATIONS.length], behave: 'succeed' };
      const config = { url: `${service.url}/work`, method: 'POST', json };
      return { action_id: id, action_type: 'http_request', config, depends_on: dependsOn };
    });
    workflows.push(await create(`${apiUrl}/workflows`, { name, actions }, `workflow-${name}`, 201, 'workflow_id'));
  }
  const ids = new Set<string>();
  let begun = 0;

  async function acceptOne(): Promise<void> {
    begun += 1;
    const workflow = workflows[begun % workflows.length] ?? '';
    ids.add(await create(`${apiUrl}/workflows/${workflow}/execute`, {}, `run-${begun}`, 202, 'execution_id'));
  }
  return {
    accepted: ids,
    executedAgain: () => calls.length - new Set(calls.map(({ key }) => key)).size,
    accept,
    async begin(runs, busy) {
      const held = new AbortController();
      const released = once(held.signal, 'abort').then(() => undefined);
      service.answer(() => released);
      await accept(runs);
      const active = () => calls.filter(({ answer }) => answer === undefined).length;
      await until(() => active() >= Math.min(busy, runs), { what: 'work is under way', everyMs: 5 });
      return () => {
        service.answer(async () => undefined);
        held.abort();
      };
    },
  };

  async function accept(runs: number): Promise<void> {
    let left = runs;
    const next = async () => {
      while (left > 0) {
        left -= 1;
        await acceptOne();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
  }
}

/** Gives the field `id` of the answer. */
async function create(url: string, body: object, key: string, status: number, id: string): Promise<string> {
  const giveUpAt = performance.now() + PATIENCE_MS;
  const answer = await insist(() => post(url, body, { 'idempotency-key': key }), {
    everyMs: AGAIN_AFTER_MS,
    giveUpAt,
  });
  if (answer === undefined) throw new Error(`${url} did not answer for ${PATIENCE_MS} ms`);
  return field(accepted(answer, status), id);
}
