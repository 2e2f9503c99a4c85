/** The window and the queue behind it as a model, one run begun per tick: who comes when decides nothing in the long run. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { shareOut } from '../../../../src/domain/fairness/fair-share.ts';
import { createFairness } from '../../../../src/engine/accept/fairness.ts';

const WINDOW = 100;
const TICKS = 4_000;
const ENDLESS = 1_000_000;

/** The runs that come in at a tick, by tenant. */
type Arrivals = (tick: number) => Record<string, number>;

/** How many runs of each tenant began in the second half of the time. */
function starts(weights: Record<string, number>, arrivals: Arrivals): Map<string, number> {
  const fairness = createFairness((tenantId) => weights[tenantId] ?? 1);
  const waiting = new Map<string, number>();
  const queue: Array<{ tenantId: string; turn: number }> = [];
  const begun = new Map<string, number>();
  for (let tick = 0; tick < TICKS; tick += 1) {
    for (const [tenantId, count] of Object.entries(arrivals(tick))) addTo(waiting, tenantId, count);
    const inQueue = new Map<string, number>();
    for (const { tenantId } of queue) addTo(inQueue, tenantId, 1);
    const use = { inQueue, total: queue.length, waiting: [...waiting.keys()].filter((id) => waiting.get(id) !== 0) };
    fairness.ranks.seen(inQueue);
    const { grants, progress } = shareOut(WINDOW, 500, use, fairness);
    fairness.progress = progress;
    for (const [tenantId, places] of grants) {
      const count = Math.min(places, waiting.get(tenantId) ?? 0);
      addTo(waiting, tenantId, -count);
      for (let n = 0; n < count; n += 1) queue.push({ tenantId, turn: fairness.ranks.next(tenantId) });
    }
    // The sort is stable: those of one turn stay in the order of their adding.
    queue.sort((a, b) => a.turn - b.turn);
    const next = queue.shift();
    if (next !== undefined && tick >= TICKS / 2) addTo(begun, next.tenantId, 1);
  }
  return begun;
}

function addTo(counts: Map<string, number>, key: string, count: number): void {
  counts.set(key, (counts.get(key) ?? 0) + count);
}

test('tenants with a backlog are begun by their weights, in whatever order they came', () => {
  const tenant = fc.record({ weight: fc.constantFrom(0.5, 1, 2, 4), from: fc.nat(500) });
  fc.assert(
    fc.property(fc.array(tenant, { minLength: 2, maxLength: 5 }), (tenants) => {
      const weights = Object.fromEntries(tenants.map(({ weight }, n) => [`t${n}`, weight]));
      const begun = starts(weights, (tick) =>
        Object.fromEntries(tenants.flatMap(({ from }, n) => (from === tick ? [[`t${n}`, ENDLESS]] : []))),
      );
      const all = tenants.reduce((sum, { weight }) => sum + weight, 0);
      for (const [n, { weight }] of tenants.entries()) {
        const fair = ((TICKS / 2) * weight) / all;
        expect(begun.get(`t${n}`) ?? 0, `t${n} of ${JSON.stringify(tenants)}`).toBeGreaterThan(fair * 0.8);
      }
    }),
    { numRuns: 20 },
  );
});

test('a tenant with as many runs as are begun, and never more than ten in the queue, does not starve a backlog', () => {
  const begun = starts({}, (tick) => (tick < 10 ? { many: tick === 0 ? ENDLESS : 0 } : { few: tick === 10 ? 10 : 1 }));
  expect(begun.get('many')).toBeGreaterThan(TICKS / 5);
});

test('nor does one that lets the queue forget it between its bursts', () => {
  const begun = starts({}, (tick) => ({
    ...(tick === 0 ? { many: ENDLESS } : {}),
    ...(tick % 40 === 1 && { bursts: 40 }),
  }));
  expect(begun.get('many')).toBeGreaterThan(TICKS / 5);
});

test('one that takes less than its share is begun at once', () => {
  const begun = starts({}, (tick) => ({
    ...(tick === 0 ? { many: ENDLESS } : {}),
    ...(tick % 10 === 0 && { few: 1 }),
  }));
  expect(begun.get('few')).toBe(TICKS / 20);
});
