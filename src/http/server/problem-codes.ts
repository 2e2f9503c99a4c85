/** Which problems an operation can answer: the codes that follow from what it is, and those that it names itself. */
import { describe, type ErrorCode } from '../../domain/errors.ts';
import type { Operation } from './operation.ts';

/** Whatever accepts a run can reject it for these. */
export const ACCEPTING: readonly ErrorCode[] = [
  ...(['parameter_validation_failed', 'workflow_paused', 'concurrency_limit', 'duplicate_run'] as const),
  ...(['queue_full', 'too_many_queued', 'too_many_live', 'overloaded'] as const),
];

/** Of every operation: also what needs no credentials rejects wrong ones, requests of other sites, and malformed ids. */
const ALWAYS: readonly ErrorCode[] = [
  ...(['invalid_request', 'unauthorized', 'forbidden', 'uri_too_long', 'rate_limited', 'internal'] as const),
  ...(['unavailable', 'database_not_usable', 'payload_key_missing', 'payload_unreadable'] as const),
];
const WITH_BODY: readonly ErrorCode[] = [
  ...(['malformed_json', 'payload_too_large', 'unsupported_media_type', 'overloaded'] as const),
];
/** Of what changes something, where a policy engine is configured. */
const WITH_POLICY: readonly ErrorCode[] = ['policy_denied', 'policy_unavailable'];

/** Sorted, each once. */
export function codesOf(op: Operation): ErrorCode[] {
  const codes = new Set<ErrorCode>([
    ...ALWAYS,
    ...(op.body === undefined ? [] : WITH_BODY),
    ...(op.method === 'get' ? [] : WITH_POLICY),
    ...(op.notFound === undefined ? [] : (['not_found'] as const)),
    ...(op.headers?.['Idempotency-Key'] === undefined ? [] : (['idempotency_conflict'] as const)),
    ...(op.problems ?? []),
  ]);
  return [...codes].sort();
}

/** HTTP status -> the codes that are answered with it, in ascending order. */
export function problemsOf(op: Operation): Array<[number, ErrorCode[]]> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codesOf(op)) {
    const { status } = describe(code);
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return [...byStatus].sort(([a], [b]) => a - b);
}
