/** What follows from an event, one trigger and one wait at a time. */
import { describe, expect, test } from 'vitest';
import { OrchestratorError } from '../../../../src/domain/errors.ts';
import type { IncomingEvent } from '../../../../src/domain/events/cloud-events.ts';
import { NO_FAILPOINT } from '../../../../src/engine/ports/failpoint.ts';
import type { Caller } from '../../../../src/engine/ports/use-cases.ts';
import type { EventProgress, IncomingStore, StoredEvent } from '../../../../src/features/events/ports.ts';
import { createIncomingEvents } from '../../../../src/features/events/take-events.ts';
import { createTestLog } from '../../../harness/test-log.ts';

const caller = (tenantId: string): Caller => ({ tenantId, userId: 'u', correlationId: undefined, traceId: 't' });
const EVENT: IncomingEvent = { id: '1', source: '/shop', type: 'paid', subject: null, time: null, data: {} };

/** `filters`: of one workflow each; what it throws or answers comes from `evaluate`. */
function incomingOf(filters: string[], evaluate: (filter: string) => Promise<boolean>, due: StoredEvent[][] = []) {
  const seen = { evaluated: [] as string[], done: [] as unknown[], again: [] as Array<[EventProgress, number]> };
  let time = 0;
  let busy: string[][] = [];
  const store: IncomingStore = {
    insert: async (_caller, events) => events.map(() => ({ fresh: true, done: false, outcome: undefined })),
    async takeDue(_perTenant, now) {
      busy = [...busy, [...now]];
      return due.shift() ?? [];
    },
    async done(_event, outcome) {
      seen.done.push(outcome);
    },
    async again(_event, progress, afterMs) {
      if (progress !== undefined) seen.again.push([progress, afterMs]);
    },
    triggersFor: async () =>
      filters.map((filter) => ({ workflowId: filter, position: 0, trigger: { event: 'paid', filter } })),
    waitsFor: async () => [],
  };
  const incoming = createIncomingEvents({
    store,
    accept: { executeWorkflow: async (_caller, id) => ({ id: `run of ${id}` }) as never },
    signals: { send: async () => undefined } as never,
    expressions: {
      evaluate(filter) {
        seen.evaluated.push(filter);
        return evaluate(filter);
      },
    },
    failpoint: NO_FAILPOINT,
    now: () => time,
    log: createTestLog(),
  });
  const pass = (ms: number) => {
    time += ms;
  };
  return { incoming, seen, pass, busy: () => busy };
}

const late = () => Promise.reject(new OrchestratorError('expression_timeout', 'too slow'));
const stored = (tenantId: string, progress?: EventProgress): StoredEvent => ({
  ...{ key: 'k', caller: caller(tenantId), event: EVENT, tries: 1, progress },
});

describe('a trigger that cannot be followed now', () => {
  test('is remembered alone, and the others are done', async () => {
    const { incoming, seen } = incomingOf(['slow', 'a', 'b'], (filter) =>
      filter === 'slow' ? late() : Promise.resolve(true),
    );
    const received = await incoming.receive(caller('t'), [EVENT]);
    expect(received.pending).toEqual(['1']);
    expect(received.outcomes[0]?.outcome.started.map(({ workflow_id }) => workflow_id)).toEqual(['a', 'b']);
    expect(seen.again).toMatchObject([[{ open: [{ id: 'trigger slow 0', tries: 1 }] }, 4_000]]);
  });

  test('is tried again without them, ever later, and given up alone', async () => {
    const outcome = { started: [{ workflow_id: 'a', execution_id: 'run of a' }], signalled: [], failed: [] };
    const open = (tries: number) => ({ outcome, open: [{ id: 'trigger slow 0', tries }] });
    const { incoming, seen } = incomingOf(['slow', 'a'], late, [[stored('t', open(3))], [stored('t', open(79))]]);
    await incoming.takeUp();
    await incoming.idle();
    expect(seen.again).toEqual([[open(4), 32_000]]);
    await incoming.takeUp();
    await incoming.idle();
    expect(seen.evaluated).toEqual(['slow', 'slow']);
    const failed = [{ workflow_id: 'slow', code: 'internal', detail: expect.stringContaining('given up') }];
    expect(seen.done).toEqual([{ ...outcome, failed }]);
  });

  test('has a share of the time; what is not started comes soon, those that never failed first', async () => {
    const filters = ['slow 1', 'slow 2', 'slow 3', 'slow 4', 'a', 'b'];
    const { incoming, seen, pass } = incomingOf(filters, async (filter) => {
      if (!filter.startsWith('slow')) return true;
      await Promise.resolve();
      pass(2_000);
      return late();
    });
    await incoming.receive(caller('t'), [EVENT]);
    const [[first, afterMs] = [undefined, 0]] = seen.again;
    expect(first?.open.filter(({ tries }) => tries === 0).map(({ id }) => id)).toEqual(['trigger a 0', 'trigger b 0']);
    expect(afterMs).toBe(2_000);
  });
});

test('events of one tenant are not behind those of another', async () => {
  let finish: () => void = () => undefined;
  const hanging = new Promise<boolean>((resolve) => {
    finish = () => resolve(true);
  });
  const { incoming, seen, busy } = incomingOf(
    ['filter'],
    () => (seen.evaluated.length === 1 ? hanging : Promise.resolve(true)),
    [[stored('a'), stored('a'), stored('b')], [stored('b')]],
  );
  await incoming.takeUp();
  await new Promise((resolve) => setImmediate(resolve));
  await incoming.takeUp();
  await new Promise((resolve) => setImmediate(resolve));
  expect(busy()).toEqual([[], ['a']]);
  expect(seen.done).toHaveLength(2);
  finish();
  await incoming.idle();
  expect(seen.done).toHaveLength(4);
});
