/** Numbers that only a seed decides. */
export interface Random {
  /** In [0, 1). */
  next(): number;
  /** From `min` to `max`, both included. */
  whole(min: number, max: number): number;
  pick<const T>(from: readonly [T, ...T[]]): T;
  chance(probability: number): boolean;
}

/** mulberry32: small, and good enough to choose by. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const whole = (min: number, max: number) => min + Math.floor(next() * (max - min + 1));
  return {
    next,
    whole,
    pick: ([first, ...rest]) => [first, ...rest][whole(0, rest.length)] ?? first,
    chance: (probability) => next() < probability,
  };
}
