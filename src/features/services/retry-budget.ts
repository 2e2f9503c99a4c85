/**
 * How many calls of a service may be made again at another instance within one attempt: a fifth of its calls within ten
 * seconds, and a few in any case. When everything fails that adds a fifth to the load, and does not double it.
 */
const WINDOW_SECONDS = 10;
const SHARE = 0.2;
const ALWAYS = 3;

/** Calls, and of them those that were made again, by second. */
export type BudgetWindow = ReadonlyMap<number, { calls: number; again: number }>;

/** The window with this call in it; undefined when it may not be made. */
export function countCall(window: BudgetWindow, nowMs: number, again: boolean): BudgetWindow | undefined {
  const second = Math.floor(nowMs / 1_000);
  const recent = new Map([...window].filter(([at]) => at > second - WINDOW_SECONDS));
  const sum = (of: 'calls' | 'again') => [...recent.values()].reduce((total, each) => total + each[of], 0);
  if (again && sum('again') + 1 > Math.max(ALWAYS, SHARE * (sum('calls') + 1))) return undefined;
  const now = recent.get(second) ?? { calls: 0, again: 0 };
  return recent.set(second, { calls: now.calls + 1, again: now.again + (again ? 1 : 0) });
}
