/** Reads a request that came as a message. All that is wrong with it is said at once. */
import { OrchestratorError } from '../../domain/errors.ts';
import { parseWith } from '../../schemas/faults.ts';
import { guardJson } from '../../schemas/json-guard.ts';
import { type FlowRunMessage, flowRunMessage } from './schemas.ts';

export function readFlowRunMessage(value: unknown): FlowRunMessage {
  const dangers = guardJson(value);
  const parsed = parseWith(flowRunMessage, value);
  if (parsed.ok && dangers.length === 0) return parsed.value;
  const errors = [...dangers, ...(parsed.ok ? [] : parsed.faults)];
  throw new OrchestratorError('invalid_request', 'The message is not valid', { errors });
}
