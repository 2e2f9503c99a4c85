/** In which shard of the queue a run lives: a pure function of its id, so that every process looks for its jobs in one place. */
import { runOfJob } from './compile.ts';

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** 0 to `shards` - 1. It must never change for an id: what is in the queue already would be looked for elsewhere. */
export function shardOf(runId: string, shards: number): number {
  // FNV-1a, whose last bits hardly depend on the first characters; they are mixed at the end, as in MurmurHash3.
  let hash = FNV_OFFSET;
  for (let at = 0; at < runId.length; at += 1) hash = Math.imul(hash ^ runId.charCodeAt(at), FNV_PRIME);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) % shards;
}

export function shardOfJob(jobId: string, shards: number): number {
  return shardOf(runOfJob(jobId), shards);
}
