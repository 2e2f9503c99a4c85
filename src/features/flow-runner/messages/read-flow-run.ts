/** Reads a message of the topic of flow runs. What is wrong with one that cannot be taken has a code and words. */

import { OrchestratorError } from '../../../domain/errors.ts';
import { errorMessage } from '../../../domain/texts/error-message.ts';
import { id } from '../../../schemas/ids.ts';
import { readFlowRunMessage } from '../read-message.ts';
import type { FlowRunMessage } from '../schemas.ts';
import type { IncomingMessage, PoisonCode } from '../transport/ports.ts';

export type ReadMessage =
  | { ok: true; request: FlowRunMessage }
  | { ok: false; code: PoisonCode; error: string; tenantId: string | undefined };

export interface MessageRules {
  maxBytes: number;
  /** Whose runs may come by messages; `*`: everybody’s. */
  tenants: readonly string[];
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });
/** More faults than that help nobody. */
const SHOWN_FAULTS = 20;

export function readFlowRun({ value, key }: Pick<IncomingMessage, 'value' | 'key'>, rules: MessageRules): ReadMessage {
  const poison = (code: PoisonCode, error: string, tenantId?: string): ReadMessage => ({
    ...{ ok: false, code, error, tenantId },
  });
  if (value === null) return poison('invalid_json', 'The message has no value');
  const bytes = value.length + Buffer.byteLength(key ?? '');
  if (bytes > rules.maxBytes)
    return poison('message_too_large', `The message has ${bytes} bytes; at most ${rules.maxBytes} are taken`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(UTF8.decode(value));
  } catch (error) {
    return poison('invalid_json', `The message is not JSON: ${errorMessage(error)}`);
  }
  const tenantId = tenantIn(parsed);
  // Before the rest of it is read: nothing else of the message matters then.
  if (tenantId !== undefined && !isAllowed(tenantId, rules.tenants))
    return poison('tenant_not_allowed', `Runs of the tenant '${tenantId}' may not come by messages`);
  try {
    return { ok: true, request: readFlowRunMessage(parsed) };
  } catch (error) {
    if (!(error instanceof OrchestratorError)) throw error;
    return poison('invalid_message', withFaults(error), tenantId);
  }
}

/** The message of an error with what is wrong in which field. */
export function withFaults({ message, errors }: OrchestratorError): string {
  const faults = errors
    .slice(0, SHOWN_FAULTS)
    .map((fault) => `${fault.path === '' ? 'it' : fault.path} ${fault.message}`);
  return faults.length === 0 ? message : `${message}: ${faults.join('; ')}`;
}

function tenantIn(parsed: unknown): string | undefined {
  if (typeof parsed !== 'object' || parsed === null || !Object.hasOwn(parsed, 'tenant_id')) return undefined;
  const named = id.safeParse((parsed as { tenant_id: unknown }).tenant_id);
  return named.success ? named.data : undefined;
}

function isAllowed(tenantId: string, tenants: readonly string[]): boolean {
  return tenants.includes('*') || tenants.includes(tenantId);
}
