/**
 * Who of a group gets which partitions. The client’s own assigner goes by the topics of one member alone, so that members
 * with other topics would get none of theirs: here each partition goes in turn to the next member that has subscribed to it.
 */

export interface Member {
  id: string;
  topics: readonly string[];
}

/** By member, then by topic. `partitions`: of each topic. Equal arguments give equal answers, whatever their order. */
export function assignPartitions(
  members: readonly Member[],
  partitions: ReadonlyMap<string, readonly number[]>,
): Map<string, Map<string, number[]>> {
  const sorted = [...members].sort((one, other) => compare(one.id, other.id));
  const assigned = new Map(sorted.map(({ id }) => [id, new Map<string, number[]>()]));
  let next = 0;
  for (const topic of [...partitions.keys()].sort(compare)) {
    const subscribed = sorted.filter(({ topics }) => topics.includes(topic));
    if (subscribed.length === 0) continue;
    for (const partition of [...(partitions.get(topic) ?? [])].sort((one, other) => one - other)) {
      const member = subscribed[next % subscribed.length];
      next += 1;
      if (member === undefined) continue;
      const topics = assigned.get(member.id);
      topics?.set(topic, [...(topics.get(topic) ?? []), partition]);
    }
  }
  return assigned;
}

function compare(one: string, other: string): number {
  if (one === other) return 0;
  return one < other ? -1 : 1;
}
