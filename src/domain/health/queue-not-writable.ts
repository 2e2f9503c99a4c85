/** Why a store of the queue that answers takes no writes, and what to do about it. */

const NOT_WRITABLE: Readonly<Record<string, string>> = {
  READONLY: 'This Redis is a replica: have REDIS_URL name the primary, or promote it (REPLICAOF NO ONE).',
  MISCONF: 'Redis cannot write to its disk: make room there, and see its log.',
  LOADING: 'Redis reads its files after a start: wait until it has.',
  NOREPLICAS: 'Redis waits for replicas (min-replicas-to-write): bring them back.',
  NOPERM: 'The user of this Redis may not write: give it its rights back (ACL SETUSER).',
  CLUSTERDOWN: 'The cluster is down: bring its nodes back.',
};

/** `word`: the first word of Redis's answer. */
export function whyNotWritable(word: string): string {
  return `The store of the queue answers and takes no writes (${word}): nothing is begun.`;
}

export function todoOfNotWritable(word: string): string {
  return `${NOT_WRITABLE[word] ?? 'See what Redis answers to a write.'} Runs go on by themselves then.`;
}
