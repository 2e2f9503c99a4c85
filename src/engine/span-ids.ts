/**
 * Ids of spans (W3C Trace Context: 16 hex digits). Those of runs, tasks and attempts follow from what they are: they are
 * nowhere stored, every worker names the same one, and so does whoever reads the trace later.
 */
import { createHash } from 'node:crypto';

const DIGITS = 16;

export function runSpanId(runId: string): string {
  return digest(`run/${runId}`);
}

export function taskSpanId(runId: string, actionId: string): string {
  return digest(`task/${runId}/${actionId}`);
}

export function attemptSpanId(runId: string, epoch: number, actionId: string, attempt: number): string {
  return digest(`attempt/${runId}.${epoch}.${actionId}.${attempt}`);
}

export function traceparentOf(traceId: string, spanId: string): string {
  return `00-${traceId}-${spanId}-01`;
}

function digest(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, DIGITS);
}
