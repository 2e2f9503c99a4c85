/** Whether a proxy is in front of the API that the configuration does not know. */
import type pg from 'pg';
import { lastCounted } from '../store/metric-totals.ts';
import { FORWARDED_UNTRUSTED } from '../telemetry/shared-metrics.ts';
import { type Finding, ok, warning } from './finding.ts';

export const FORWARDED_PROBLEM =
  'X-Forwarded-For comes from a peer that TRUST_PROXY does not name: all clients behind it count as one address, for limits and in the audit';
const LATELY_SECONDS = 3_600;

/** For the start of an API: what those before it have seen. */
export async function forwardingProblems(pool: pg.Pool): Promise<string[]> {
  const { status, message } = await checkForwarding(pool);
  return status === 'ok' ? [] : [message];
}

export async function checkForwarding(pool: pg.Pool): Promise<Finding> {
  const check = 'forwarded_for';
  const counted = await lastCounted(pool, FORWARDED_UNTRUSTED, LATELY_SECONDS);
  if (counted === undefined) return ok(check, 'within the last hour nobody unknown said for whom it asks');
  const what = 'If it is a proxy of yours, name it in TRUST_PROXY; if not, somebody poses as one and is not believed.';
  return warning(check, `${FORWARDED_PROBLEM}; last ${counted.agoSeconds} s ago`, what);
}
