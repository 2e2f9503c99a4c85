/** Operations on all live runs of a workflow, over ports in memory: pages together, and one by one where that fails. */
import { expect, test } from 'vitest';
import { OrchestratorError } from '../../../../src/domain/errors.ts';
import { createControlOperations } from '../../../../src/engine/control/control-operations.ts';
import type { LeasedOperation, Page } from '../../../../src/engine/ports/control-operations.ts';
import { createTestLog } from '../../../harness/test-log.ts';

const CALLER = { tenantId: 't', userId: 'ada', correlationId: undefined, traceId: '' };

function operationOn(
  runs: readonly string[],
  together: (ids: readonly string[]) => { changed: string[]; left: string[] },
) {
  const operation: LeasedOperation = {
    ...{ id: 'o', tenantId: 't', workflowId: 'w', kind: 'pause', status: 'running', reason: null, requestedBy: 'ada' },
    ...{ total: runs.length, done: 0, skipped: 0, failed: 0, error: null, requestedAt: new Date(0), finishedAt: null },
    ...{ lease: 'l', after: '', tries: 0 },
  };
  const pages: Page[] = [];
  const alone: string[] = [];
  const one = async (_: unknown, runId: string) => {
    alone.push(runId);
    if (runId === 'broken') throw new Error('it cannot be read');
    if (runId === 'ended') throw new OrchestratorError('already_final', 'It has ended');
    return 'paused' as const;
  };
  const all = async (_: unknown, ids: readonly string[]) => together(ids);
  const operations = createControlOperations({
    operations: {
      find: async () => operation,
      take: async () => operation,
      page: async () => [...runs],
      save: async (_, page) => void pages.push(page),
      async defer() {
        operation.tries += 1;
      },
    },
    cancelRun: async () => 'cancelled',
    pause: { pauseRun: one, resumeRun: one, pauseRuns: all, resumeRuns: all },
    newId: () => 'l',
    failpoint: async () => undefined,
    log: createTestLog(),
  });
  return { pages, alone, step: () => operations.start(CALLER, 'o') };
}

test('a page is done together, but for the runs that have to be done one by one', async () => {
  const { pages, alone, step } = operationOn(['a', 'b', 'below', 'ended'], () => ({
    changed: ['a'],
    left: ['below', 'ended'],
  }));
  await step();
  expect(alone).toEqual(['below', 'ended']);
  expect(pages).toMatchObject([{ done: 2, skipped: 2, failed: 0, last: true }]);
});

test('a page that fails together is done one by one the next time, and what is at fault fails alone', async () => {
  const { pages, alone, step } = operationOn(['a', 'broken', 'b'], () => {
    throw new Error('it cannot be read');
  });
  await step();
  expect([alone, pages]).toEqual([[], []]);
  for (let tries = 1; tries < 5; tries += 1) await step();
  expect(pages).toMatchObject([{ done: 2, skipped: 0, failed: 1, error: 'it cannot be read', last: true }]);
});
