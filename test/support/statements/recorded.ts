/**
 * The statements whose text depends on an argument, had by calling what sends them: all tables, all filters, all orders.
 * Nothing is answered but what a function needs to go on, so that nothing has to be in any database.
 */
import type pg from 'pg';
import { checkTables } from '../../../src/doctor/tables.ts';
import { createKeyring } from '../../../src/engine/keyring.ts';
import { createApprovalStore } from '../../../src/features/approvals/store.ts';
import { createTenantData } from '../../../src/features/erasure/export-store.ts';
import { createErasureSteps } from '../../../src/features/erasure/store.ts';
import { createDeadLetterStore } from '../../../src/features/failures/dead-letter-store.ts';
import { createRejectedMessages } from '../../../src/features/flow-runner/poison/rejected-messages.ts';
import { createWorkflowSearch } from '../../../src/features/search/store.ts';
import { createGoneServices } from '../../../src/features/services/gone-services.ts';
import { PAYLOAD_CONTEXT } from '../../../src/store/payloads/payloads.ts';
import { rotatePayloads } from '../../../src/store/payloads/rotate-payloads.ts';
import { rotateSecrets } from '../../../src/store/payloads/rotate-secrets.ts';
import { createExpiryStore } from '../../../src/store/recover/expired.ts';
import { createRetentionStore, TABLE_SIZES } from '../../../src/store/recover/retention.ts';
import { takeBackTimesAhead } from '../../../src/store/recover/times-ahead.ts';
import { createRunEvents } from '../../../src/store/views/run-events.ts';
import { createRunReader } from '../../../src/store/views/runs-read.ts';

export interface Recorded {
  text: string;
  /** Where it was sent, as the stack tells it. */
  stack: string;
}

type Answer = (text: string, values: unknown[]) => object[] | undefined;

/** `types`: of columns that are asked for while a statement is made, by the database. */
export async function recordStatements(types: pg.Pool): Promise<Recorded[]> {
  const all: Recorded[] = [];
  const pool = (answer: Answer = () => undefined) => recorder(all, answer);

  await checkTables(pool(), 7);
  await createExpiryStore(pool()).removeExpired(1);
  await createGoneServices(pool(), { peers: [], configured: [] }).removeExpired(1);
  await createWorkflowSearch(pool((text) => (text.includes('pg_extension') ? [{}] : undefined))).search(
    't',
    ['one', 'two'],
    { limit: 1, skip: 0 },
  );
  await listsOf(pool());
  await createRunEvents(
    pool((text) => (text.includes('unnumbered') ? [{ id: `it's`, unnumbered: 1 }] : undefined)),
  ).progress(['r']);
  await takeBackTimesAhead(pool((text) => (text.includes('pg_try_advisory') ? [{ mine: true }] : undefined)));
  await erasures(pool);
  await exports(pool);
  await rotations(pool, types);
  await removals(pool, types);
  return all;
}

const AT = new Date(0);
const LIMIT = { limit: 1 };
/** Its statements are Prisma's own. */
const NO_CLIENT = undefined as never;

async function listsOf(pool: pg.Pool): Promise<void> {
  const span = { from: AT, to: AT };
  const rejected = createRejectedMessages(pool);
  const chosen = { ids: ['1'], code: 'invalid_json', from: new Date(0), to: new Date() };
  for (const after of [undefined, { failedAt: new Date(), id: undefined }, { failedAt: new Date(), id: '1' }])
    await rejected.list('default', chosen, { limit: 1, after });
  await rejected.count('default', chosen);
  await rejected.stats('default');
  await rejected.retry('default', chosen, 1);
  await rejected.discard('default', chosen, 1);
  const letters = createDeadLetterStore(pool);
  const one = { runId: 'r', actionId: 'a' };
  const few = {
    ...span,
    actionType: 'x',
    workflowId: 'w',
    errorCode: 'c',
    retriedBelow: 2,
    fingerprint: 'f',
    tasks: [one],
  };
  for (const filter of [{}, few]) {
    await letters.list('t', filter, { ...LIMIT, after: undefined }, []);
    await letters.list('t', filter, { ...LIMIT, after: { failedAt: AT, ...one } }, []);
    await letters.runsOf('t', filter, [], 1);
    await letters.discard('t', filter, 'u', 1);
  }
  const runs = createRunReader({ pool, prisma: NO_CLIENT }, { load: () => Promise.reject(new Error('not asked for')) });
  const filters = [
    {},
    { status: 'queued', ofWorkflows: true, workflowTag: 'x', userId: 'u', parent: 'r', ids: ['r'], ...span },
    { status: 'running', workflowId: 'w', correlationId: 'c', statuses: ['failed'] },
    { status: 'waiting' },
    { ofWorkflows: false, statuses: ['queued', 'running', 'pending', 'completed'] },
  ] as ReadonlyArray<Parameters<typeof runs.list>[1]>; // One status of tomorrow among them does no harm.
  for (const filter of filters) {
    for (const after of [undefined, { createdAt: AT, id: 'r' }])
      await runs.list('t', filter, { ...LIMIT, skip: 0, after });
  }
  const approvals = createApprovalStore(pool);
  for (const status of ['pending', 'decided'] as const)
    await approvals.list('t', { status, approver: 'u', limit: 1, skip: 0 });
}

/** Each step once, as if something were left of it. */
async function erasures(pool: (answer: Answer) => pg.Pool): Promise<void> {
  for (const subject of [null, 'u']) {
    for (let step = 0, completed = false; !completed; step += 1) {
      const taken = { id: 'e', tenantId: 't', subject, step, after: null, removed: {}, requestedAt: AT };
      const answer: Answer = (text) => {
        if (text.includes('FROM erasure e')) return [taken];
        return text.startsWith('SELECT r.id FROM run') ? [{ id: 'r' }] : undefined;
      };
      completed = (await createErasureSteps(pool(answer)).step(1_000, undefined))?.completed ?? true;
    }
  }
}

/** A full page of each table, so that the one behind it is asked for too. */
async function exports(pool: (answer: Answer) => pg.Pool): Promise<void> {
  for (const subject of [undefined, 'u'])
    await createTenantData(
      pool(() => undefined),
      () => 'e',
    ).preview({ tenantId: 't', subject });
  let runs = 0;
  const data = createTenantData(
    pool((text, [, , ...after]) => {
      if (text.startsWith('SELECT id FROM run')) return runs++ === 0 ? [{ id: 'r' }] : [];
      return after.length === 0 ? Array.from({ length: 25 }, () => ({ data: {} })) : [];
    }),
    () => 'e',
  );
  for await (const _ of data.rows('t'));
}

async function rotations(pool: (answer: Answer) => pg.Pool, types: pg.Pool): Promise<void> {
  const key = (fill: number) => Buffer.alloc(32, fill).toString('base64');
  const before = createKeyring([key(1)]);
  const now = createKeyring([key(2), key(1)]);
  if (before === undefined || now === undefined) throw new Error('no keys');
  const secret = { tenant_id: 't', name: 'n', version: '1', id: 'w', text: 'as it was written once' };
  await rotateSecrets(
    pool((text) => (text.includes('AS text') ? [secret] : undefined)),
    now,
  );
  const envelope = before.seal('"x"', PAYLOAD_CONTEXT);
  const full = Array.from({ length: 50 }, () => ({ k0: 'r', k1: 'a', k2: '1', k3: '1', envelope }));
  const typesByTable = new Map<string, object[]>();
  const { rows: columns } = await types.query<{ table: string; name: string; type: string }>(
    `SELECT c.relname AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = quote_ident(current_schema())::regnamespace`,
  );
  for (const { table, name, type } of columns) typesByTable.set(`${table}.${name}`, [{ type }]);
  await rotatePayloads(
    pool((text, values) => {
      const [table, names] = values as [string, string[]];
      if (text.includes('format_type')) return names.flatMap((name) => typesByTable.get(`${table}.${name}`) ?? []);
      return text.includes('AS envelope') && values.length === 0 ? full : undefined;
    }),
    now,
  );
}

async function removals(pool: (answer: Answer) => pg.Pool, types: pg.Pool): Promise<void> {
  const { rows: tables } = await types.query<object>(TABLE_SIZES);
  const answer =
    (stay: boolean): Answer =>
    (text) => {
      if (text.includes('pg_try_advisory')) return [{ mine: true }];
      return text === TABLE_SIZES ? tables : [{ stay }];
    };
  await createRetentionStore(pool(answer(false))).measure(0);
  for (const stay of [false, true]) {
    const retention = createRetentionStore(pool(answer(stay)));
    await retention.removeBatch({ by: 'setting', days: 1, history: 'with_week' }, 1);
    await retention.removeBatch({ by: 'own_days' }, 1);
    await retention.removeBatch({ by: 'end', endedBy: AT }, 1);
  }
}

function recorder(all: Recorded[], answer: Answer): pg.Pool {
  const query = async (statement: string | { text: string; values?: unknown[] }, values: unknown[] = []) => {
    const text = typeof statement === 'string' ? statement : statement.text;
    all.push({ text, stack: new Error().stack ?? '' });
    const given = typeof statement === 'string' ? values : (statement.values ?? []);
    const rows = answer(text, given) ?? [];
    return { rows, rowCount: rows.length };
  };
  const client = { query, release: () => undefined };
  return { query, connect: async () => client } as unknown as pg.Pool; // All that is asked of one.
}
