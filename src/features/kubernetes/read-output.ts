/** How what kubectl writes is read. */
import { z } from 'zod';
import { ATTEMPT } from './domain.ts';

const condition = z.object({
  type: z.string(),
  status: z.string(),
  reason: z.string().optional(),
  message: z.string().optional(),
});
const storedJob = z.object({
  metadata: z.object({
    creationTimestamp: z.string().optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
  status: z.object({ conditions: z.array(condition).nullish() }).optional(),
});

export interface FoundJob {
  state: 'active' | 'complete' | 'failed';
  /** What the cluster says of a failure. */
  why: string;
  /** The attempt that it was made for; 0: not known. */
  attempt: number;
  createdMs: number | undefined;
}

/** `text`: what `kubectl get -o json --ignore-not-found` wrote. Undefined: there is no such Job. Throws for something else. */
export function readJob(text: string): FoundJob | undefined {
  if (text.trim() === '') return undefined;
  const { metadata, status } = storedJob.parse(JSON.parse(text));
  const conditions = (status?.conditions ?? []).filter((one) => one.status === 'True');
  const failed = conditions.find(({ type }) => type === 'Failed');
  const isComplete = conditions.some(({ type }) => type === 'Complete');
  const created = Date.parse(metadata.creationTimestamp ?? '');
  return {
    state: failed !== undefined ? 'failed' : isComplete ? 'complete' : 'active',
    why: [failed?.reason, failed?.message].filter((one) => one !== undefined).join(': '),
    attempt: Number(metadata.annotations?.[ATTEMPT] ?? 0) || 0,
    createdMs: Number.isNaN(created) ? undefined : created,
  };
}

/** Whether the Job that is there is one of an earlier attempt that cannot succeed any more. */
export function isSpent(found: FoundJob, attempt: number): boolean {
  return found.state === 'failed' && found.attempt < attempt;
}

/** Whole seconds that are left to wait: of its own attempt the rest, of an earlier one's Job all of them again. */
export function secondsLeft(
  found: FoundJob | undefined,
  wait: { attempt: number; nowMs: number; seconds: number },
): number {
  if (found?.createdMs === undefined || found.attempt < wait.attempt) return wait.seconds;
  const gone = Math.floor((wait.nowMs - found.createdMs) / 1_000);
  return Math.min(wait.seconds, Math.max(1, wait.seconds - gone));
}

/** Names in the output of `kubectl get -o name`: `job.batch/a`. */
export function namesIn(output: string): string[] {
  return output.split('\n').flatMap((line) => /^[^/\s]+\/(\S+)$/.exec(line.trim())?.[1] ?? []);
}

/** What the API of the cluster says when the same request would be answered alike again. */
const REJECTED =
  /Error from server \((?:BadRequest|Forbidden|Invalid|NotFound|MethodNotAllowed|RequestEntityTooLarge)\)/;
const UNKNOWN_KIND = /no matches for kind|error validating/;

export function isRejection(stderr: string): boolean {
  return REJECTED.test(stderr) || UNKNOWN_KIND.test(stderr);
}

/** What `kubectl wait` says at the end of its time. */
export function isWaitTimeout(stderr: string): boolean {
  return stderr.includes('timed out waiting for the condition');
}

/** Of a first line that is longer so much is left out. */
const BROKEN_LINE = 1_024;

/** The readable end of what was written, of at most so many bytes and from the start of a line where something is left out. */
export function tailOf(written: Buffer, maxBytes: number): string {
  const isCut = written.length > maxBytes;
  const end = isCut ? written.subarray(written.length - maxBytes) : written;
  const text = end.toString('utf8').replaceAll(UNREADABLE, '');
  if (!isCut) return text;
  // What is left of a first line may be the end of a secret, which nothing would recognise.
  const lineEnd = text.indexOf('\n') + 1;
  return text.slice(lineEnd > 0 && lineEnd < BROKEN_LINE ? lineEnd : BROKEN_LINE);
}

/** Colours and the like; NUL cannot be stored. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it removes.
const UNREADABLE = /[\u0000-\u0008\u000b-\u001f\u007f]/g;
