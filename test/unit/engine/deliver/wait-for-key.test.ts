import { expect, test, vi } from 'vitest';
import { UnreadablePayload } from '../../../../src/domain/errors.ts';
import { NOW, startedEngine } from '../../../harness/fakes/engine.ts';

test('a task that needs what cannot be decrypted waits, however often it is delivered, and then goes on in its attempt', async () => {
  const engine = await startedEngine({ a: [] });
  const execute = vi.spyOn(engine.deps.executor, 'execute');
  execute.mockRejectedValue(new UnreadablePayload('payload_key_missing', 'SECRETS_KEY of this process is not set'));
  for (let deliveries = 1; deliveries <= 12; deliveries += 1) {
    expect(await engine.deliver('a')).toMatchObject({ job: 'delay', untilMs: NOW + 5_000 });
    expect(engine.row('a')).toMatchObject({ status: 'waiting', final: false, deliveries: 1 });
  }
  execute.mockRestore();
  expect(await engine.deliver('a')).toEqual({ job: 'complete' });
  expect(engine.row('a')).toMatchObject({ status: 'completed', attempt: 1 });
});

test('another error is nobody else’s to hide', async () => {
  const engine = await startedEngine({ a: [] });
  vi.spyOn(engine.deps.executor, 'execute').mockRejectedValue(new Error('a defect'));
  await expect(engine.deliver('a')).rejects.toThrow('a defect');
});
