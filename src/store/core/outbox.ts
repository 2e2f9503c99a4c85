/**
 * Transactional outbox, as one feature offers it to the others: a message is a row of the transaction that decides it, and
 * is published after its commit.
 */
import type pg from 'pg';
import type { ExecutionCall } from '../../engine/ports/executor.ts';
import type { JsonObject } from '../../schemas/json.ts';

export interface OutboxMessage {
  topic: string;
  key: string;
  value: string;
  headers: Readonly<Record<string, string>>;
  tenantId: string;
  /** Undefined: of no run. */
  runId: string | undefined;
  /** The attempt of an external task that it publishes. */
  externalTaskId?: string | undefined;
}

/** An attempt that is about to be opened. */
export interface PublishableTask {
  id: string;
  leaseToken: string;
  topic: string;
  /** JSON. */
  input: string;
}

export interface Outbox {
  /** Attempts of other topics are leased over HTTP. */
  publishes(topic: string): boolean;
  ofTask(call: ExecutionCall, task: PublishableTask): Promise<OutboxMessage>;
  ofAudit(tenantId: string, entry: JsonObject): OutboxMessage;
  /** `client`: of the transaction that decides them. */
  append(client: Pick<pg.ClientBase, 'query'>, messages: readonly OutboxMessage[]): Promise<void>;
}
