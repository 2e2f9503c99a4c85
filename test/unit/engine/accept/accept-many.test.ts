import { expect, test } from 'vitest';
import { ACTION_DEFAULTS } from '../../../../src/domain/definition/definition.ts';
import { type AcceptDeps, createAcceptRuns } from '../../../../src/engine/accept/accept-run.ts';
import type { NewRun } from '../../../../src/engine/ports/runs.ts';

const CALLER = { tenantId: 't', userId: 'u', correlationId: undefined, traceId: '0'.repeat(32) };
const unused = () => Promise.reject(new Error('not used here'));

/** An acceptance over nothing; `log` has what was prepared, stored and added, in order. */
function acceptance() {
  const log: string[] = [];
  let ids = 0;
  const deps: AcceptDeps = {
    actionTypes: {
      list: () => [],
      names: () => ['a'],
      canonical: (type) => type,
      permissionOf: () => undefined,
      check: (_type, config) => {
        log.push('prepared');
        if (config !== null && typeof config === 'object' && 'breaks' in config) throw new Error('a fault of ours');
        return config !== null && typeof config === 'object' && 'wrong' in config
          ? [{ path: 'wrong', message: 'is not known' }]
          : [];
      },
    },
    texts: { answer: unused },
    workflows: { resolve: unused },
    workflowHead: unused,
    plans: { of: unused },
    runs: {
      accept: async ({ id, of, requestHash }: NewRun) => {
        log.push('stored');
        return { id, of, status: 'pending', createdAt: new Date(), requestHash: requestHash ?? null, inserted: true };
      },
    },
    admission: {
      admit: async (runs) => {
        log.push(`added ${runs.length}`);
      },
    },
    endReplaced: async () => undefined,
    failpoint: () => undefined,
    defaults: ACTION_DEFAULTS,
    newId: () => `run-${ids++}`,
  };
  return { accept: createAcceptRuns(deps), log };
}

const task = (params: object) => ({ task_type: 'a', params: { ...params } });

test('answers and faults stand in the order of the items, over all pages', async () => {
  const { accept, log } = acceptance();
  const requests = Array.from({ length: 1_000 }, (_, index) => task(index % 7 === 0 ? { wrong: true } : { n: index }));
  const answers = await accept.acceptTasks(CALLER, requests);
  expect(answers.map((answer) => ('code' in answer ? answer.code : answer.id))).toEqual(
    requests.map((_, index) => (index % 7 === 0 ? 'invalid_request' : `run-${index - Math.floor(index / 7) - 1}`)),
  );
  expect(log.filter((line) => line.startsWith('added'))).toEqual([...Array<string>(8).fill('added 100'), 'added 57']);
});

test('nothing is stored before every item was checked: what cannot be answered leaves nothing behind', async () => {
  const { accept, log } = acceptance();
  const requests = Array.from({ length: 300 }, (_, index) => task(index === 250 ? { breaks: true } : {}));
  await expect(accept.acceptTasks(CALLER, requests)).rejects.toThrow('a fault of ours');
  expect(log).toContain('prepared');
  expect(log).not.toContain('stored');
});

test('others are served between the pages of a request with many', async () => {
  const { accept, log } = acceptance();
  const turn = () => {
    log.push('another');
    if (log.length < 10_000) setImmediate(turn);
  };
  setImmediate(turn);
  await accept.acceptTasks(
    CALLER,
    Array.from({ length: 500 }, () => task({})),
  );
  const busy = log.slice(0, log.lastIndexOf('stored')).join(' ').split('another');
  // At most the preparing of one page and the storing of another stand side by side.
  expect(busy.length).toBeGreaterThanOrEqual(8);
  for (const stretch of busy) expect(stretch.match(/prepared|stored/g)?.length ?? 0).toBeLessThanOrEqual(200);
});
