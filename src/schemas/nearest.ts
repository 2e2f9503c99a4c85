/** The known name that somebody most likely meant. */

/** Longer names get no suggestion: the work is quadratic in the length. */
const MAX_LENGTH = 64;

/** The known name with the fewest typing slips from `name`, if there are few enough of them; the first one wins a tie. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  if (name.length === 0 || name.length > MAX_LENGTH) return undefined;
  const lowered = name.toLowerCase();
  let best: string | undefined;
  let allowed = name.length <= 3 ? 1 : name.length <= 6 ? 2 : 3;
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) > allowed) continue;
    const distance = slips(lowered, candidate.toLowerCase(), allowed);
    if (distance > allowed) continue;
    if (distance === 0) return candidate;
    best = candidate;
    allowed = distance - 1;
  }
  return best;
}

/** `" (did you mean 'x'?)"`, or nothing. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const candidate = nearest(name, known);
  return candidate === undefined ? '' : ` (did you mean '${candidate}'?)`;
}

/** Insertions, deletions, replacements and swaps of neighbours between `a` and `b`; anything over `limit` is `limit + 1`. */
function slips(a: string, b: string, limit: number): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    let smallest = i;
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(last, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(at(last, j) + 1, at(row, j - 1) + 1, replaced);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, at(beforeLast, j - 2) + 1);
      }
      row.push(cost);
      smallest = Math.min(smallest, cost);
    }
    // Two rows, because a swap reads two rows back.
    if (smallest > limit && Math.min(...last) > limit) return limit + 1;
    beforeLast = last;
    last = row;
  }
  return Math.min(at(last, b.length), limit + 1);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
