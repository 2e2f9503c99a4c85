/** Names that come from outside may become labels only while there are few: each is a series for as long as the process runs. */

/** Beyond that many in one process the rest is told together. */
export const OTHER = 'other';

/** Resolves a name to itself, or to `other` once there are `most` already. */
export function boundedNames(most: number): (name: string) => string {
  const known = new Set<string>();
  return (name) => {
    if (known.has(name)) return name;
    if (known.size >= most) return OTHER;
    known.add(name);
    return name;
  };
}
