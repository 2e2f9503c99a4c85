/** How the shards of the queue are called: their prefixes in Redis, and a lane of one of them in logs. */

/** `{orch-0}` counts on to `{orch-1}`; to any other prefix, in its braces if it has some, `-1` and so on is added. */
export function shardPrefixes(prefix: string, shards: number): [string, ...string[]] {
  const others = Array.from({ length: shards - 1 }, (_, index) => {
    const tag = /^([^{]*\{[^}]+)(\}.*)$/.exec(prefix);
    const [before = '', after = ''] = tag === null ? [prefix] : tag.slice(1);
    return `${before.replace(/-0$/, '')}-${index + 1}${after}`;
  });
  // The first one has the prefix itself: what one shard has stored is found by several.
  return [prefix, ...others];
}

/** No action type has the sign. */
const AT = '@';

/** The lane of the first shard has the name of its queue. */
export function laneName(queue: string, shard: number): string {
  return shard === 0 ? queue : `${queue}${AT}${shard}`;
}

export function laneOfName(name: string): { queue: string; shard: number } {
  const [queue = '', shard = '0'] = name.split(AT);
  return { queue, shard: Number(shard) };
}
