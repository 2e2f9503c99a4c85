/** Names that come from outside may become labels only while there are few: each is a series for as long as the process runs. */

/** Beyond that many in one process the rest is counted together. */
export const OTHER = 'other';

/** Resolves a name to itself, or to `other` once there are `most` already. */
export function boundedNames(most: number): (name: string) => string {
  const names = new Set<string>();
  return (name) => {
    if (names.has(name)) return name;
    if (names.size >= most) return OTHER;
    names.add(name);
    return name;
  };
}
