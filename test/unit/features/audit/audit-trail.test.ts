/** What of requests is written, how much of a flood, and what becomes of entries that cannot be written. */
import { expect, test } from 'vitest';
import { operationsOf } from '../../../../src/compose/features.ts';
import { maskOf } from '../../../../src/domain/texts/mask-secrets.ts';
import type { AuditEvent, AuditHead } from '../../../../src/engine/ports/audit.ts';
import { anchorOf, isSigned } from '../../../../src/features/audit/anchor.ts';
import { createDenials } from '../../../../src/features/audit/denials.ts';
import { deniedRequest } from '../../../../src/features/audit/egress.ts';
import { ANCHOR_EVERY_ENTRIES, createAuditTrail } from '../../../../src/features/audit/trail.ts';
import {
  HEARTBEATS,
  NOTED_OPERATIONS,
  SENSITIVE_READS,
  weightOf,
} from '../../../../src/http/middleware/audit-requests.ts';
import { createBatcher } from '../../../../src/store/core/batch.ts';

const API_OPERATIONS = await operationsOf();

function event(more: Partial<AuditEvent> = {}): AuditEvent {
  return {
    ...{ tenant_id: 't', actor: 'anna', means: 'none', credential: null, action: 'createWorkflow', permission: null },
    ...{ resource_type: null, resource_id: null, address: '192.0.2.1', user_agent: null, decision: 'allowed' as const },
    ...{ reason: null, status: 201, request_id: 'r', trace_id: 't', details: {}, ...more },
  };
}
const denied = (more: Partial<AuditEvent> = {}) => event({ decision: 'denied', status: 403, ...more });

function open(append: (events: readonly AuditEvent[]) => Promise<void>, retryAfter?: () => number) {
  const logged: Array<[string, object | undefined]> = [];
  const anchored: AuditHead[] = [];
  const tell = (name: string, fields?: object) => void logged.push([name, fields]);
  const trail = createAuditTrail({
    store: {
      append: async (events) => {
        await append(events);
        return [...new Set(events.map(({ tenant_id }) => tenant_id))].map((tenant_id) => ({
          tenant_id,
          seq: 1,
          hash: '',
        }));
      },
    },
    queue: (send) =>
      createBatcher({
        maxItems: 500,
        flush: async (events: AuditEvent[]) => {
          const [head] = await send(events);
          return events.map(() => head);
        },
        ...(retryAfter === undefined ? {} : { retryAfter }),
      }),
    mask: maskOf(['tell-nobody']),
    anchor: async (heads) => void anchored.push(...heads),
    now: () => 0,
    log: { debug: tell, info: tell, warn: tell, error: tell },
  });
  return { trail, logged, anchored };
}

test('the operations that are audited otherwise than others are there', () => {
  const ids = new Set(API_OPERATIONS.map(({ id }) => id));
  expect([...NOTED_OPERATIONS, ...HEARTBEATS, ...SENSITIVE_READS].filter((id) => !ids.has(id))).toEqual([]);
});

test('answers about what is changed by hand wait, those about runs do not, and plain reads leave nothing', () => {
  const weights = new Map(API_OPERATIONS.map((op) => [op.id, weightOf(op)]));
  for (const id of ['deleteWorkflow', 'completeAction', 'discardDeadLetters', 'clearEvents', 'createWebhook']) {
    expect(weights.get(id), id).toBe('waits');
  }
  for (const id of ['executeWorkflow', 'assignTasks', 'completeTask', 'listAudit', 'getEffectiveConfig']) {
    expect(weights.get(id), id).toBe('noted');
  }
  for (const id of ['listWorkflows', 'getExecution', 'pollTasks', 'heartbeatService']) {
    expect(weights.get(id), id).toBe('read');
  }
  // Of what changes something nothing is left out but those who only say that they are there.
  const silent = API_OPERATIONS.filter((op) => op.method !== 'get' && weightOf(op) === 'read').map(({ id }) => id);
  expect(new Set(silent)).toEqual(HEARTBEATS);
});

test('of a flood the first is written at once, and then how many more there were', () => {
  let now = 0;
  const denials = createDenials(() => now);
  expect(denials.take(denied())).toMatchObject({ status: 403 });
  for (let n = 0; n < 999; n += 1) expect(denials.take(denied({ request_id: `${n}` }))).toBeUndefined();
  expect(denials.take(denied({ address: '192.0.2.2' }))).toBeDefined();
  expect(denials.due()).toEqual([]);
  now = 60_000;
  expect(denials.due()).toEqual([
    denied({ request_id: null, trace_id: null, details: { more: 999, within_seconds: 60 } }),
  ]);
  expect(denials.take(denied())).toBeDefined();
});

test('a loop that the outbound policy denies is one entry for each host and reason, with whose task it was', () => {
  const denials = createDenials(() => 0);
  const refused = (host: string, refusal = 'policy') =>
    deniedRequest({
      ...{ refusal, host, tenantId: 'acme', scheme: 'http', method: 'GET', redirected: false, source: 'r.1.a' },
    });
  expect(denials.take(refused('10.0.0.1'))).toMatchObject({
    ...{ tenant_id: 'acme', action: 'egress.denied', resource_type: 'host', resource_id: '10.0.0.1' },
    ...{ decision: 'denied', reason: 'policy', details: { task: 'r.1.a', scheme: 'http', method: 'GET' } },
  });
  for (let n = 0; n < 999; n += 1) expect(denials.take(refused('10.0.0.1'))).toBeUndefined();
  expect(denials.take(refused('10.0.0.2'))).toBeDefined();
  expect(denials.take(refused('10.0.0.1', 'withheld'))).toBeDefined();
  expect(denials.due(true)).toMatchObject([{ resource_id: '10.0.0.1', reason: 'policy', details: { more: 999 } }]);
});

test('the ends of chains are anchored after so many entries, without waiting for the minute', async () => {
  const { trail, anchored } = open(async () => undefined);
  for (let n = 1; n < ANCHOR_EVERY_ENTRIES; n += 1) trail.note(event());
  await trail.write(event({ tenant_id: 'last' }));
  expect(anchored.map(({ tenant_id }) => tenant_id).sort()).toEqual(['last', 't']);
});

test('an anchor is signed by the first secret, verified by any of them, and no other line passes for one', () => {
  const head = { tenant_id: 't', seq: 7, hash: 'ab'.repeat(32) };
  const anchor = anchorOf(head, '2026-01-01T00:00:00.000Z', ['new', 'old']);
  expect(isSigned(anchor, ['old', 'new'])).toBe(true);
  expect(isSigned(anchor, ['old'])).toBe(false);
  for (const change of [{ seq: 6 }, { hash: 'cd'.repeat(32) }, { tenant_id: 'u' }, { at: '' }, { signature: '' }]) {
    expect(isSigned({ ...anchor, ...change }, ['new']), JSON.stringify(change)).toBe(false);
  }
  expect(anchorOf(head, 'now', [])).toEqual({ ...head, at: 'now' });
  expect(isSigned(anchorOf(head, 'now', []), ['new'])).toBe(false);
});

test('a flood from everywhere is counted as one', () => {
  const denials = createDenials(() => 0);
  const written = Array.from({ length: 5_000 }, (_, n) => denials.take(denied({ address: `address ${n}` })));
  expect(written.filter((one) => one !== undefined)).toHaveLength(200);
  expect(denials.due(true)).toMatchObject([
    { tenant_id: '', actor: 'several', address: null, details: { more: 4_800 } },
  ]);
});

test('an entry has no secret, nothing that cannot be stored, and a bounded size', async () => {
  const written: AuditEvent[] = [];
  const { trail } = open(async (events) => void written.push(...events));
  await trail.write(
    event({
      ...{ resource_id: 'tell-nobody', user_agent: 'a\0b\ud800', actor: 'x'.repeat(5_000) },
      details: { fields: ['tell-nobody', 'a\0b\ud800\\u0000'] },
    }),
  );
  await trail.write(event({ details: { path: 'x'.repeat(5_000) } }));
  expect(written).toMatchObject([
    { resource_id: '***', user_agent: 'a\ufffdb\ufffd', details: { fields: ['***', 'a\ufffdb\ufffd\\u0000'] } },
    { details: { truncated: true } },
  ]);
  expect(written[0]?.actor).toHaveLength(512);
});

test('what cannot be written is counted, logged, and afterwards an entry itself', async () => {
  let broken = true;
  const written: AuditEvent[] = [];
  const { trail, logged } = open(async (events) => {
    if (broken) throw new Error('no room');
    written.push(...events);
  });
  await trail.write(event());
  await trail.write(event());
  expect(trail.dropped()).toBe(2);
  expect(logged).toEqual([['audit_dropped', { dropped: 1, tenant_id: 't', action: 'createWorkflow', why: 'no room' }]]);
  broken = false;
  trail.writeCounted();
  await trail.close(1_000);
  expect(written).toMatchObject([
    { tenant_id: '', action: 'audit.dropped', decision: 'failed', details: { count: 2 } },
  ]);
});

test('the queue is bounded, and the end of the process waits for what is in it', async () => {
  let let_go: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    let_go = resolve;
  });
  let written = 0;
  const { trail, logged, anchored } = open(async (events) => {
    await held;
    written += events.length;
  });
  for (let n = 0; n < 20_010; n += 1) trail.note(event());
  expect([trail.queued(), trail.dropped()]).toEqual([20_000, 10]);
  expect(logged).toHaveLength(1);
  const closed = trail.close(60_000);
  let_go();
  await closed;
  expect([written, trail.queued()]).toEqual([20_000, 0]);
  // After every thousand of them.
  expect(anchored).toEqual(Array(20).fill({ tenant_id: 't', seq: 1, hash: '' }));
});

test('a process that may not wait any longer says what it loses', async () => {
  const { trail, logged } = open(() => new Promise(() => undefined));
  trail.note(event());
  trail.note(event());
  await trail.close(1);
  expect(logged).toContainEqual(['audit_dropped', { dropped: 2, why: 'the process ends' }]);
});
