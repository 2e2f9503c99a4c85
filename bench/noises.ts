/**
 * What a tenant who means harm does to stop the others. Each noise goes on until the signal, one request after the other; the
 * product may answer what it likes, as long as it goes on answering the others.
 */
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Answer } from './http-load.ts';

/** Asks in the name of the noisy tenant; an answer that does not come counts as status 0. */
export type Ask = (
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  path: string,
  body?: object,
  headers?: Readonly<Record<string, string>>,
) => Promise<Answer>;

export interface Noise {
  name: string;
  make(ask: Ask, signal: AbortSignal): Promise<void>;
}

const BLANKS = 9_900;
const EXPRESSIONS = 100;
/** As many as fit into one expression. */
const CHOICES = 130;
/** Every pair of so many numbers is looked at: about a second. */
const NUMBERS = Array.from({ length: 600 }, (_, index) => index);
const SLOW = (list: string) => `${list}.all(a, ${list}.all(b, a + b >= 0))`;
const SLOW_RUNS = 200;
const SLEEPERS = 2_000;
const PAUSED_RUNS = 5_000;
const MOST_AT_ONCE = 1_000;
const CALLBACKS = 200;
const FORGED_BYTES = 500_000;
const PAUSE_MS = 200;

export const NOISES: readonly Noise[] = [
  {
    name: 'definitions full of blanks',
    async make(ask, signal) {
      const actions = Array.from({ length: EXPRESSIONS }, (_, index) => ({
        ...echo(`a${index}`),
        when: `size([1${' '.repeat(BLANKS)}]) == 1`,
      }));
      while (!signal.aborted) await ask('POST', '/workflows', { name: 'blanks', actions });
    },
  },
  {
    name: 'definitions that take as long as they may to check',
    async make(ask, signal) {
      const actions = Array.from({ length: EXPRESSIONS }, (_, index) => ({
        ...echo(`a${index}`),
        when: `[${'params.n>0?1:2,'.repeat(CHOICES)}${index}] == []`,
      }));
      while (!signal.aborted) await ask('POST', '/workflows', { name: 'choices', actions });
    },
  },
  {
    name: 'costly patterns',
    async make(ask, signal) {
      const pattern = '[ab]*a[ab]{900}[xy]';
      const parameters = Array.from({ length: 20 }, (_, index) => ({ name: `p${index}`, type: 'string', pattern }));
      const text = 'ab'.repeat(20_000);
      const values = Object.fromEntries(parameters.map(({ name }) => [name, text]));
      while (!signal.aborted) {
        const id = await create(ask, { name: 'patterns', parameters, actions: [echo('a')] });
        if (id === undefined) await sleep(PAUSE_MS);
        else await ask('POST', `/workflows/${id}/execute`, { parameters: values });
      }
    },
  },
  {
    name: 'slow conditions',
    async make(ask, signal) {
      const parameters = [{ name: 'numbers', type: 'array' }];
      const id = await create(ask, {
        name: 'slow conditions',
        parameters,
        actions: [{ ...echo('a'), when: SLOW('params.numbers') }],
      });
      for (let run = 0; run < SLOW_RUNS && !signal.aborted && id !== undefined; run += 1)
        await ask('POST', `/workflows/${id}/execute`, { parameters: { numbers: NUMBERS } });
    },
  },
  {
    name: 'sleeping runs',
    async make(ask, signal) {
      const approval = { action_id: 'a', action_type: 'approval', config: { message: 'for ever' } };
      const id = await create(ask, { name: 'sleepers', actions: [approval] });
      if (id !== undefined) await executeMany(ask, signal, id, SLEEPERS);
    },
  },
  {
    name: 'callbacks that hang',
    async make(ask, signal) {
      // It takes every connection and never says a word.
      const silent = createServer(() => undefined);
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
      const address = silent.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      for (let task = 0; task < CALLBACKS && !signal.aborted; task += 1)
        await ask('POST', '/assign-task', { ...TASK, callback_url: `http://127.0.0.1:${port}/` });
      await untilAborted(signal);
      silent.close();
    },
  },
  {
    name: 'slow filters of triggers',
    async make(ask, signal) {
      for (let trigger = 0; trigger < 5; trigger += 1) {
        await create(ask, {
          name: `triggered ${trigger}`,
          triggers: [{ event: 'noise.*', filter: SLOW('event.data.numbers') }],
          actions: [echo('a')],
        });
      }
      for (let event = 0; !signal.aborted; event += 1) {
        await ask('POST', '/events', { ...cloudEvent(event), data: { numbers: NUMBERS } }, CLOUD_EVENT);
        await sleep(PAUSE_MS);
      }
    },
  },
  {
    name: 'forged signatures',
    async make(ask, signal) {
      const event = { ...cloudEvent(0), data: { text: 'x'.repeat(FORGED_BYTES) } };
      while (!signal.aborted) {
        await ask('POST', '/events', event, {
          ...CLOUD_EVENT,
          'webhook-id': 'forged',
          'webhook-timestamp': String(Math.floor(Date.now() / 1000)),
          'webhook-signature': `v1,${Buffer.alloc(32).toString('base64')}`,
        });
      }
    },
  },
  {
    name: 'pausing many runs',
    async make(ask, signal) {
      const wait = { action_id: 'a', action_type: 'wait', config: { seconds: 86_400 } };
      const id = await create(ask, { name: 'paused', actions: [wait] });
      if (id === undefined) return;
      await executeMany(ask, signal, id, PAUSED_RUNS);
      while (!signal.aborted) {
        for (const verb of ['pause', 'resume']) await ask('POST', `/workflows/${id}/${verb}`, { runs: verb });
        await sleep(PAUSE_MS);
      }
    },
  },
];

const TASK = { task_type: 'test_task', params: { n: 1 } };
const CLOUD_EVENT = { 'Content-Type': 'application/cloudevents+json' };

function echo(id: string) {
  return { action_id: id, action_type: 'test_task', config: { n: 1 } };
}

function cloudEvent(number: number) {
  return { specversion: '1.0', id: `e${number}`, source: '/noise', type: 'noise.made' };
}

/** `undefined`: it was rejected, which is an answer too. */
async function create(ask: Ask, definition: object): Promise<string | undefined> {
  const { status, body } = await ask('POST', '/workflows', definition);
  return status === 201 ? (JSON.parse(body) as { workflow_id: string }).workflow_id : undefined; // As the API documents it.
}

async function executeMany(ask: Ask, signal: AbortSignal, id: string, runs: number): Promise<void> {
  for (let left = runs; left > 0 && !signal.aborted; left -= MOST_AT_ONCE)
    await ask('POST', `/workflows/${id}/executions`, { items: Array(Math.min(left, MOST_AT_ONCE)).fill({}) });
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
