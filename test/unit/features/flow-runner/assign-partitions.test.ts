import fc from 'fast-check';
import { expect, test } from 'vitest';
import { assignPartitions } from '../../../../src/features/flow-runner/transport/kafka/assign-partitions.ts';

const topics = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1 });
const members = fc.uniqueArray(fc.record({ id: fc.string({ minLength: 1 }), topics }), {
  selector: ({ id }) => id,
  maxLength: 6,
});
const partitions = fc
  .dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.nat(8))
  .map(
    (counts) =>
      new Map(Object.entries(counts).map(([topic, count]) => [topic, Array.from({ length: count }, (_, n) => n)])),
  );

test('each partition of a topic that somebody has subscribed to has one member, which is one of those', () => {
  fc.assert(
    fc.property(members, partitions, (group, all) => {
      const assigned = assignPartitions(group, all);
      const owners = new Map<string, string[]>();
      for (const [id, own] of assigned) {
        for (const [topic, numbers] of own) {
          expect(group.find((member) => member.id === id)?.topics).toContain(topic);
          for (const number of numbers)
            owners.set(`${topic}/${number}`, [...(owners.get(`${topic}/${number}`) ?? []), id]);
        }
      }
      for (const [topic, numbers] of all) {
        const wanted = group.some((member) => member.topics.some((own) => own === topic)) ? 1 : 0;
        for (const number of numbers) expect(owners.get(`${topic}/${number}`)?.length ?? 0).toBe(wanted);
      }
    }),
  );
});

test('members with the same topics differ by at most one partition, whatever the order in which they are named', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 6 }), partitions, (ids, all) => {
      const group = ids.map((id) => ({ id, topics: ['a', 'b', 'c', 'd'] }));
      const assigned = assignPartitions(group, all);
      const counts = [...assigned.values()].map((own) => [...own.values()].flat().length);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      expect(assignPartitions([...group].reverse(), new Map([...all].reverse()))).toEqual(assigned);
    }),
  );
});
