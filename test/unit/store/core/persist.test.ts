import { expect, test } from 'vitest';
import { persist } from '../../../../src/store/core/transient.ts';

const away = Object.assign(new Error('Connection terminated unexpectedly'));
const wrapped = Object.assign(new Error('prisma'), {
  cause: Object.assign(new Error('away'), { code: 'ECONNREFUSED' }),
});
const wrong = Object.assign(new Error('no such column'), { code: '42703' });

function failing(...errors: Error[]) {
  const left = [...errors];
  return async () => {
    const error = left.shift();
    if (error !== undefined) throw error;
    return 'done';
  };
}

test('what fails because the database is away is done again until it is back, whoever wrapped the reason', async () => {
  expect(await persist(failing(away, wrapped, away))).toBe('done');
});

test('what is wrong by itself is reported at once', async () => {
  const work = failing(wrong);
  await expect(persist(work)).rejects.toBe(wrong);
  expect(await work()).toBe('done');
});
