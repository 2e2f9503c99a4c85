/** `heartbeat_timeout_seconds` has to be over before the attempt is, or it could never be met. */
import type { Action } from './definition.ts';
import type { FaultList } from './fault-list.ts';

export function checkHeartbeat(action: Action, path: string, faults: FaultList): void {
  const { heartbeat_timeout_seconds: heartbeat, timeout_seconds: timeout } = action;
  if (heartbeat === undefined || heartbeat < timeout) return;
  faults.add(`${path}.heartbeat_timeout_seconds`, `must be less than timeout_seconds (${timeout})`);
}
