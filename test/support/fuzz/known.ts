/**
 * What is known of the service: ids that its answers have named, and words that mean something to it. Without them nearly
 * every request would end at the first look at it.
 */
import type { Random } from '../../harness/random.ts';

const KEPT = 30;

/** Names in answers whose values are worth to be asked for again. */
const HARVESTED = new Set([
  'workflow_id',
  'execution_id',
  'task_id',
  'schedule_id',
  'webhook_id',
  'delivery_id',
  'saga_id',
  'trace_id',
  'action_id',
  'event_id',
  'lease_token',
  'next_cursor',
  'correlation_id',
  'template_name',
  'service_name',
  'document_id',
  'instance_id',
]);

/** Where a name is asked for that answers call otherwise. */
const ALSO: Record<string, string[]> = {
  execution_id: ['execution_id', 'task_id'],
  task_id: ['task_id', 'execution_id'],
  saga_id: ['execution_id'],
  cursor: ['next_cursor'],
  parent: ['execution_id'],
  id: ['workflow_id', 'execution_id', 'document_id'],
};

const CEL = [
  'params.n > 1',
  'true',
  'false',
  'a.echo == 1',
  'size(params.items) < 3',
  'iteration >= 1',
  'params.missing',
  '1 / 0 > 1',
  '"a".matches("(a+)+$")',
  'event.type == "x"',
];
const ACTIONS = ['a', 'b', 'c', 'hold', 'fails', 'asks', 'ext', 'go'];
const URLS = ['http://127.0.0.1:9/hook', 'http://localhost:9', 'https://127.0.0.1:9/x?y=1', 'http://[::1]:9/'];

/** What a field of this name takes, besides what its schema says. */
const WORDS: Record<string, readonly unknown[]> = {
  action_type: ['test_task', 'transform', 'wait', 'approval', 'signal', 'external', 'workflow', 'notification'],
  task_type: ['test_task', 'transform', 'notification', 'service_call', 'http_request', 'fuzzed'],
  handler: ['test_task', 'transform'],
  action_id: ACTIONS,
  from_action: ACTIONS,
  depends_on: [[], ['a'], ['a', 'b'], ['a', 'a'], ['nobody'], ['c']],
  config: [{}, { message: '{{x}}' }, { value: '{{a.echo}}' }, { seconds: 0 }, { topic: 'fuzz' }, { name: 'go' }],
  when: CEL,
  condition: CEL,
  filter: CEL,
  until: CEL,
  key: ['{{params.x}}', 'k', '{{run.id}}'],
  items: [[1, 2], '{{params.items}}', [], [null], [{ a: 1 }]],
  cron: ['0 0 1 1 *', '*/5 * * * *', '0 0 * * 1', '59 59 23 31 12 *'],
  timezone: ['UTC', 'Europe/Berlin', 'Asia/Kathmandu'],
  interval_seconds: [3_600, 86_400],
  at: ['2031-01-01T00:00:00Z'],
  wait: ['0', '0.01'],
  wait_seconds: [0],
  delay_seconds: [0, 0.01, 3_600],
  initial_delay_seconds: [0.01, 3_600],
  multiplier: [1, 100],
  topic: ['fuzz', 'other'],
  worker_id: ['w1', 'w2'],
  callback_url: URLS,
  webhook_url: URLS,
  url: URLS,
  base_url: URLS,
  service: ['documents', 'planted', 'nobody'],
  workflow_name: ['fuzz-flow', 'nobody'],
  from: ['1', '2', '2020-01-01T00:00:00Z'],
  to: ['1', '2', '2040-01-01T00:00:00Z'],
  version: [1, 2],
  token: ['a.b', 'x'],
  parameters: [{}, { x: 1 }, { items: [1, 2] }, { n: 2, items: [] }],
  event: ['run.completed', 'x'],
  timeout_seconds: [1, 30],
  max_parallel: [1, 2],
};

/** `{name}` means another thing in each path. */
const IN_PATHS: Array<[RegExp, string, readonly string[]]> = [
  [/^\/registry\//, 'name', ['documents', 'planted', 'fuzzed']],
  [/signals/, 'name', ['go', 'stop']],
  [
    /\/actions\//,
    'action',
    ['cancel', 'pause', 'resume', 'retry', 'approve', 'message', 'extend', 'signal', 'explode'],
  ],
  [/^\/lanes/, 'action_type', ['test_task', 'wait']],
  [/templates/, 'template_name', ['hello_world', 'fuzz-template', 'fuzz-template']],
  [/diff/, 'from', ['1', '2']],
  [/diff/, 'to', ['1', '2']],
];

export interface Known {
  /** Something that a field of this name may hold; undefined: nothing is known. */
  value(random: Random, name: string, path?: string): unknown;
  /** Keeps what the answer of an operation names. */
  learn(body: unknown, operation?: string): void;
  /** Keeps what is another tenant's: asked for now and then, and never found. */
  learnTheirs(body: unknown): void;
  add(name: string, id: string): void;
}

/** Their ids are called like those of other tasks, and are of no use for those. */
const LEASES = new Set(['pollTasks', 'listExternalTasks']);
const LEASED = 'leased_task_id';

export function createKnown(): Known {
  const ours = createPools();
  const theirs = createPools();
  return {
    add: ours.add,
    learn: (body, operation = '') =>
      harvest(body, (name, id) => ours.add(name === 'task_id' && LEASES.has(operation) ? LEASED : name, id)),
    learnTheirs: (body) => harvest(body, theirs.add),
    value(random, name, path = '') {
      const special = IN_PATHS.find(([where, called]) => called === name && where.test(path))?.[2];
      const from = random.chance(0.08) ? theirs : ours;
      const names = path.startsWith('/tasks/{') ? [LEASED] : (ALSO[name] ?? [name]);
      const pool = special ?? names.flatMap(from.of);
      const words = special === undefined && Object.hasOwn(WORDS, name) ? (WORDS[name] ?? []) : [];
      const chosen = pool.length === 0 || (words.length > 0 && random.chance(0.5)) ? words : pool;
      return chosen[random.whole(0, chosen.length - 1)];
    },
  };
}

function createPools() {
  const pools = new Map<string, string[]>();
  return {
    of: (name: string): readonly string[] => pools.get(name) ?? [],
    add(name: string, id: string) {
      const pool = pools.get(name) ?? [];
      pools.set(name, pool);
      if (pool.includes(id)) return;
      // The oldest stay: they are what was set up.
      if (pool.length >= KEPT) pool.splice(KEPT / 2, 1);
      pool.push(id);
    },
  };
}

function harvest(root: unknown, add: (name: string, id: string) => void): void {
  const stack: unknown[] = [root];
  for (let at = stack.pop(), looked = 0; at !== undefined && looked < 300; at = stack.pop(), looked += 1) {
    if (typeof at !== 'object' || at === null) continue;
    for (const [name, value] of Object.entries(at)) {
      if (typeof value === 'string' && value !== '' && HARVESTED.has(name)) add(name, value);
      else if (typeof value === 'object' && value !== null) stack.push(value);
    }
  }
}
