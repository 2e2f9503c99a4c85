import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createBatcher } from '../../../../src/store/core/batch.ts';

class DataFault extends Error {}

test('whatever fails and whenever items come, each is answered once, by its own answer, and is stored at most once', async () => {
  const items = fc.array(fc.record({ bad: fc.boolean(), after: fc.nat({ max: 3 }) }), { minLength: 1, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(
      items,
      fc.integer({ min: 1, max: 7 }),
      fc.infiniteStream(fc.nat({ max: 4 })),
      async (list, maxItems, dice) => {
        const stored: number[] = [];
        const add = createBatcher<number, string>({
          maxItems,
          async flush(batch) {
            expect(batch.length).toBeLessThanOrEqual(maxItems);
            if (batch.some((index) => list[index]?.bad)) throw new DataFault('bad data');
            if (dice.next().value === 0) throw new Error('away');
            stored.push(...batch);
            return batch.map((index) => `answer ${index}`);
          },
          isDataFault: (error) => error instanceof DataFault,
          retryAfter: (error) => (error instanceof DataFault ? undefined : 0),
        });
        const answers: string[] = [];
        await Promise.all(
          list.map(async ({ after }, index) => {
            for (let turns = after; turns > 0; turns -= 1) await new Promise(setImmediate);
            answers[index] = await add(index).catch((error: Error) => error.message);
          }),
        );
        expect(answers).toEqual(list.map(({ bad }, index) => (bad ? 'bad data' : `answer ${index}`)));
        expect(stored.sort((a, b) => a - b)).toEqual(list.flatMap(({ bad }, index) => (bad ? [] : [index])));
        await new Promise(setImmediate);
        expect(add.size()).toBe(0);
      },
    ),
    { numRuns: 100 },
  );
});
