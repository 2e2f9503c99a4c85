/**
 * One tenant tries every operation of the OpenAPI document with the ids of another one: it gets and changes nothing of it. A
 * new operation is tried without being named here; one for which nothing of the other tenant is known fails the test.
 */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { standingOfTables } from '../../src/store/core/row-level-security.ts';
import { type Client, openClient } from '../harness/client/client.ts';
import { openStack, type Stack } from '../support/stack.ts';
import { openSocket } from '../support/task-socket.ts';
import { HIDDEN, MARK, plant } from '../support/tenants/plant.ts';
import { type Document, type ForeignRequest, foreignRequests, type Ids } from '../support/tenants/requests.ts';

/** What a path names that belongs to no tenant. */
const NOBODYS: Readonly<Record<string, string>> = {
  // Lanes are the installation's, and only the tenant `default` may touch them.
  action_type: 'test_task',
};
/** What may be had with what another tenant has, and why. */
const BY_DESIGN: Readonly<Record<string, string>> = {
  viewApprovalLink: 'the token of a link is its credential, whoever brings it',
  decideByLink: 'as viewApprovalLink',
};
/** Names that every tenant gives as it likes: the answer is about its own, and never 404 for what another one has. */
const EACH_HAS_ITS_OWN: Readonly<Record<string, string>> = {
  getTrace: 'trace ids come from clients; one without spans is told as such',
  getServiceTraces: 'a service that was never called has no traces',
  putSecret: 'as putWorkflowTemplate',
  putWorkflowTemplate: 'templates are named by their tenant',
};
/** Parts of a path that name no thing of their own, only a part of one. */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  'sendSignal.name': ['go'],
  'actOnSession.action': ['cancel', 'terminate', 'pause', 'resume', 'retry', 'approve', 'reject', 'extend'],
  action_id: ['review', 'boom'],
  'diffWorkflowVersions.from': ['1'],
  'diffWorkflowVersions.to': ['2'],
};

let stack: Stack;
let a: Client;
let b: Client;
/** Of a tenant that has nothing. */
let c: Client;
let ids: Ids;
let requests: ForeignRequest[];
/** Long enough not to turn up by chance. */
let secrets: string[];

beforeAll(async () => {
  stack = await openStack('redis', {
    workers: 0,
    environment: { APPROVAL_LINK_SECRET: 'x'.repeat(40), SECRETS_KEY: Buffer.alloc(32, 7).toString('base64') },
  });
  a = openClient(stack.api.url, { 'x-tenant-id': 'a' });
  b = openClient(stack.api.url, { 'x-tenant-id': 'b' });
  c = openClient(stack.api.url, { 'x-tenant-id': 'c' });
  const worker = await stack.add('worker');
  const api = await stack.add('api');
  ids = await plant(stack, openClient(`http://127.0.0.1:${api.port}`, { 'x-tenant-id': 'a' }));
  // From here on nothing moves by itself, and what is to be audited of the planting has been.
  await Promise.all([worker.stop(), api.stop()]);
  const document = (await a.get('/openapi.json')).body as Document; // As much of it as is looked at.
  requests = foreignRequests(document, { ...PARTS, ...ids }, NOBODYS);
  secrets = [...new Set(Object.values(ids).flat())].filter((id) => id.length >= 32);
});

afterAll(() => stack?.stop());

/** Asks of each table that has something of tenants, as its owner sees it; `ofA` is true of the rows that are of `a`. */
async function askEach<T extends object>(select: (table: string, ofA: string) => string, values: unknown[] = []) {
  const found = new Map<string, T | undefined>();
  for (const { table, rule } of await standingOfTables(stack.db)) {
    if (rule === undefined || rule.kind === 'nobodys') continue;
    const ofA =
      rule.kind === 'tenant'
        ? `t.tenant_id = 'a'`
        : `EXISTS (SELECT FROM ${rule.parent} p WHERE p.id = t.${rule.column} AND p.tenant_id = 'a')`;
    const { rows } = await stack.db.query<T>(select(pg.escapeIdentifier(table), ofA), values);
    found.set(table, rows[0]);
  }
  return found;
}

/** A digest of the rows of each table that are of `a`. */
async function rowsOfA(): Promise<Map<string, string>> {
  const found = await askEach<{ rows: string }>(
    (table, ofA) => `
      SELECT count(*) || ' rows, ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') AS rows
      FROM ${table} t WHERE ${ofA}`,
  );
  return new Map([...found].map(([table, row]) => [table, row?.rows ?? '']));
}

/** Tables in which rows that are not of `a` have one of the texts, with one of these rows. */
async function othersNaming(texts: readonly string[]): Promise<Array<[string, unknown]>> {
  const found = await askEach<{ row: string }>(
    (table, ofA) => `
      SELECT t::text AS row FROM ${table} t
      WHERE NOT coalesce(${ofA}, false) AND EXISTS (SELECT FROM unnest($1::text[]) x WHERE strpos(t::text, x) > 0) LIMIT 1`,
    [texts],
  );
  return [...found].flatMap(([table, row]) => (row === undefined ? [] : [[table, row.row] as [string, string]]));
}

const spelled = ({ operation, method, path, body }: ForeignRequest) =>
  `${operation}: ${method} ${path} ${body === undefined ? '' : JSON.stringify(body)}`;

/** `sent`: all that `b` has said until now, which may be said back to it. */
function leakIn(sent: string, answer: { text: string; headers: Headers }): string | undefined {
  const said = `${answer.text} ${[...answer.headers].join(' ')}`;
  if (said.includes(HIDDEN)) return HIDDEN;
  return secrets.find((secret) => said.includes(secret) && !sent.includes(secret));
}

test('no operation gives, tells or changes anything of another tenant, whatever ids it is given', async () => {
  const before = await rowsOfA();
  const door = await stack.add('api');
  const asB = openClient(`http://127.0.0.1:${door.port}`, { 'x-tenant-id': 'b' });
  const faults: string[] = [];
  let sent = '';
  expect(requests.length).toBeGreaterThan(150);
  // What reads, then what removes: until then `b` has nothing of its own by the same name.
  const order = ['GET', 'DELETE', 'PUT', 'POST'];
  for (const request of requests.toSorted((x, y) => order.indexOf(x.method) - order.indexOf(y.method))) {
    if (BY_DESIGN[request.operation] !== undefined) continue;
    sent += decodeURIComponent(spelled(request));
    const answer = await asB.send(request.method, request.path, request.body);
    const refusedToAll = request.permission.startsWith('system:') && answer.status === 403;
    if (answer.status >= 500 && answer.status !== 504)
      faults.push(`${spelled(request)} -> ${answer.status} ${answer.text}`);
    const mustBeUnknown = request.foreignPath && EACH_HAS_ITS_OWN[request.operation] === undefined;
    if (mustBeUnknown && answer.status !== 404 && !refusedToAll) {
      faults.push(`${spelled(request)} -> ${answer.status} and not 404: ${answer.text.slice(0, 200)}`);
    }
    const leak = leakIn(sent, answer);
    if (leak !== undefined) faults.push(`${spelled(request)} -> ${answer.status} tells ${leak}`);
  }
  expect(faults).toEqual([]);
  // Only then everything is in the audit.
  await door.stop();
  expect(await rowsOfA()).toEqual(before);
  expect(await othersNaming([HIDDEN])).toEqual([]);
  // In the audit stands what was asked for, whether it was there or not.
  const naming = await othersNaming(secrets);
  expect(naming.map(([table]) => table)).toContain('audit_entry');
  expect(naming.filter(([table]) => table !== 'audit_entry')).toEqual([]);
});

test('what is planted is there for its own tenant, so that its absence for another one says something', async () => {
  const seen = new Set<string>();
  for (const request of requests) {
    if (request.method !== 'GET' || !request.foreignPath) continue;
    const { status } = await fetch(`${a.url}${request.path}`, {
      headers: { 'x-tenant-id': 'a', accept: 'application/json' },
      redirect: 'error',
    });
    if (status === 200) seen.add(request.operation);
  }
  const reads = requests.filter(({ method, foreignPath }) => method === 'GET' && foreignPath);
  expect([...new Set(reads.map(({ operation }) => operation))].filter((operation) => !seen.has(operation))).toEqual([]);
  const planted = await rowsOfA();
  const empty = [...planted].filter(([, rows]) => rows.startsWith('0 ')).map(([table]) => table);
  expect(planted.size - empty.length, `tables without a row of a: ${empty}`).toBeGreaterThan(25);
});

test('the cursors of one tenant lead another one nowhere', async () => {
  const document = (await a.get('/openapi.json')).body as Document;
  const lists = Object.entries(document.paths).filter(
    ([path, item]) => item['get']?.parameters?.some(({ name }) => name === 'cursor') === true && !path.includes('{'),
  );
  let tried = 0;
  for (const [path] of lists) {
    const page = (await a.get(`${path}?limit=1`)).body as { next_cursor?: string | null };
    if (typeof page?.next_cursor !== 'string') continue;
    tried += 1;
    const answer = await c.get(`${path}?limit=50&cursor=${encodeURIComponent(page.next_cursor)}`);
    expect(answer.status, path).toBeLessThan(500);
    expect(answer.text, path).not.toContain(HIDDEN);
    for (const secret of secrets) expect(answer.text, path).not.toContain(secret);
  }
  expect(tried).toBeGreaterThanOrEqual(4);
});

test('what the executions of one tenant name of another one is not there for them', async () => {
  const runsOfA = async () => (await rowsOfA()).get('run')?.split(' ')[0];
  const runs = await runsOfA();
  const { rows } = await stack.db.query<{ id: string; run_id: string }>(
    `SELECT e.id, e.run_id FROM event e JOIN run r ON r.id = e.run_id WHERE r.tenant_id = 'a' LIMIT 1`,
  );
  const events = rows.map(({ id, run_id }) => ({ event_id: id, execution_id: run_id }));
  const failed = (code: string) => ({ status: 'failed', error: { code } });
  const found = (output: object) => ({ status: 'completed', output: { it: output } });
  const tried: Array<[string, object, object]> = [
    // As a parameter: what names it as such cannot be created.
    ['workflow', { workflow_id: '{{id}}' }, failed('not_found')],
    ['workflow', { name: `${MARK} plain` }, failed('not_found')],
    ['service_call', { service: 'planted_service', endpoint: '/' }, failed('service_unknown')],
    ['find_service', { names: ['planted_service'] }, found({ service: null })],
    ['list_services', {}, found({ services: [] })],
    ['poll_openapi', { service: 'planted_service' }, failed('service_unknown')],
    ['replay_events', { events, target: { webhook_url: 'http://127.0.0.1:9/' } }, found({ replayed: 0 })],
    ['store_document', { id: MARK, content: 'of c' }, found({ id: MARK })],
    ['test_task', { note: '{{secrets.PLANTED}}' }, failed('secret_unknown')],
  ];
  const worker = await stack.add('worker');
  const ended = await Promise.all(
    tried.map(([action_type, config]) =>
      c.run(
        {
          name: action_type,
          parameters: [{ name: 'id', type: 'string' }],
          actions: [{ action_id: 'it', action_type, config, retry: { max_attempts: 1 } }],
        },
        { id: ids['workflow_id']?.[0] },
      ),
    ),
  );
  await worker.stop();
  for (const [n, [, , expected]] of tried.entries()) expect(ended[n]).toMatchObject(expected);
  expect(await runsOfA()).toBe(runs);
  expect(await othersNaming([HIDDEN])).toEqual([]);
  expect((await a.get(`/docstore/documents/${MARK}`)).text).toContain(HIDDEN);
});

test('a key that one tenant has used begins a task of its own for another one', async () => {
  const task = { task_type: 'test_task', params: { note: HIDDEN } };
  expect(await a.assign(task, { 'idempotency-key': ids['idempotency_key']?.[0] ?? '' })).toBe(ids['task_id']?.[0]);
  expect(await b.assign(task, { 'idempotency-key': ids['idempotency_key']?.[0] ?? '' })).not.toBe(ids['task_id']?.[0]);
});

test('a socket tells another tenant no more than that there is no such task', async () => {
  for (const taskId of ids['task_id'] ?? []) {
    const socket = openSocket(`${stack.api.url}/ws/task/${taskId}`, { headers: { 'x-tenant-id': 'b' } });
    expect(await socket.ended()).toBe(4404);
    expect(socket.messages).toEqual([expect.objectContaining({ error: 'Task not found', final: true })]);
    expect(JSON.stringify(socket.messages)).not.toContain(HIDDEN);
  }
});
