/**
 * Ids of spans (W3C Trace Context: 16 hex digits). Those of runs, tasks and attempts follow from what they are: they are
 * nowhere stored, every worker names the same one, and so does whoever reads the trace later.
 */
import { createHash } from 'node:crypto';

const DIGITS = 16;
const UNSAMPLED = '-00';

export function runSpanId(runId: string): string {
  return digest(`run/${runId}`);
}

export function taskSpanId(runId: string, actionId: string): string {
  return digest(`task/${runId}/${actionId}`);
}

export function attemptSpanId(runId: string, epoch: number, actionId: string, attempt: number): string {
  return digest(`attempt/${runId}.${epoch}.${actionId}.${attempt}`);
}

/** The jobs of a segment, as they were given to the queue with this generation. */
export function addSpanId(runId: string, epoch: number, gen: number, segment: number): string {
  return digest(`add/${runId}.${epoch}.${gen}.${segment}`);
}

/** What a run is reopened for, manually, is a part of the run. */
export function reopenedSpanId(runId: string, epoch: number): string {
  return digest(`run/${runId}.${epoch}`);
}

export function traceparentOf(traceId: string, spanId: string, sampled = true): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}

/**
 * The span that a run was started by, as it is stored: as `traceparent` has it, with its flags behind it where it says that
 * the trace is not sampled.
 */
export function storedParent(spanId: string, sampled: boolean): string {
  return sampled ? spanId : `${spanId}${UNSAMPLED}`;
}

export function parentIdOf(stored: string): string {
  return stored.slice(0, DIGITS);
}

export function saysUnsampled(stored: string | null | undefined): boolean {
  return stored?.endsWith(UNSAMPLED) === true;
}

function digest(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, DIGITS);
}
