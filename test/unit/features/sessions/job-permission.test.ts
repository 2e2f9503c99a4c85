/** What the Job of a session runs is chosen by those alone who may run Jobs. */
import { expect, test } from 'vitest';
import type { SessionRow } from '../../../../src/features/sessions/ports.ts';
import { createStartSession, type StartSessionDeps } from '../../../../src/features/sessions/start-session.ts';

const ROW: SessionRow = {
  ...{ sessionId: 's', runId: 'r', keepOpen: false, epoch: 1, status: 'queued', terminated: false },
  ...{ historyLength: 1, expiresAt: undefined },
};

function start(hasJobs: boolean, may: ((permission: string) => boolean) | undefined, metadata: object) {
  const deps: StartSessionDeps = {
    ...{ policy: undefined, keyring: undefined, ttlSeconds: 60, hasJobs, newId: () => 'n' },
    sessions: { find: async () => ROW, accept: async () => Promise.reject(new Error('nothing is stored here')) },
    system: { start: async () => Promise.reject(new Error('nothing is started here')) },
  };
  const caller = { tenantId: 'default', userId: 'ada', ...(may === undefined ? {} : { may }) };
  const starter = { caller, tenantOfCredentials: undefined, role: 'operator', idempotencyKey: undefined, asks: {} };
  const request = { tenant: 'default', user: 'ada', prompt: 'p', model: 'm', metadata };
  return createStartSession(deps)(starter as never, request as never); // What else they have is not read.
}

const operator = (permission: string) => permission !== 'kubernetes:run';

test.each(['volcano_image', 'volcano_command', 'volcano_env'])('%s needs kubernetes:run', async (name) => {
  await expect(start(true, operator, { [name]: 'x' })).rejects.toMatchObject({
    code: 'forbidden',
    message: expect.stringContaining('kubernetes:run'),
  });
  expect(await start(true, () => true, { [name]: 'x' })).toMatchObject({ repeated: true });
  // The service itself.
  expect(await start(true, undefined, { [name]: 'x' })).toMatchObject({ repeated: true });
});

test('sizes and queues do not, and nothing does where there are no Jobs', async () => {
  expect(await start(true, operator, { volcano_cpu: '1', volcano_queue: 'batch' })).toMatchObject({ repeated: true });
  expect(await start(false, operator, { volcano_image: 'x' })).toMatchObject({ repeated: true });
});
