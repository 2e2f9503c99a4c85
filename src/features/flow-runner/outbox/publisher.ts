/**
 * Publishes the outbox, in one process at a time: what is next in it is locked, published, marked and removed in one
 * transaction, so that a process that dies at any moment leaves it to be published again, and nothing is lost. While the broker is
 * away the rows wait, and so does the publisher, longer each time.
 */
import { growingDelay } from '../../../domain/health/system-faults.ts';
import { taskOf } from '../../../domain/runs/parts.ts';
import { errorMessage } from '../../../domain/texts/error-message.ts';
import type { Plans } from '../../../engine/accept/plans.ts';
import type { Failpoint } from '../../../engine/ports/failpoint.ts';
import type { Logger } from '../../../engine/ports/logger.ts';
import { pause } from '../../../engine/recover/reconcile.ts';
import { errorText } from '../domain.ts';
import type { FlowMetrics } from '../metrics.ts';
import type { OutgoingMessage, Transport } from '../transport/ports.ts';
import { deadLetterMessage, type MessageLimits } from './messages.ts';
import type { FailedTask, LockedOutbox, OutboxRow, OutboxStore } from './outbox-store.ts';

const MESSAGES_AT_ONCE = 500;
/** A notification may be lost, and another process may have stopped to publish. */
const POLL_EVERY_MS = 1_000;
const RETRY_FROM_MS = 250;
const RETRY_TO_MS = 5_000;

export interface PublisherDeps {
  outbox: OutboxStore;
  transport: Pick<Transport, 'publish'>;
  plans: Plans;
  deadLetters: MessageLimits;
  /** False: dead letters are rows alone. */
  publishesDeadLetters: boolean;
  maxOpenTasks: number;
  metrics: Pick<FlowMetrics, 'message'>;
  failpoint: Failpoint;
  log: Logger;
}

export interface Publisher {
  /** There may be something to publish. */
  wake(): void;
  /** Publishes until the signal aborts. */
  work(signal: AbortSignal): Promise<void>;
  /** One batch: how many rows went, and undefined where another process publishes. */
  publishNext(): Promise<number | undefined>;
}

export function createPublisher(deps: PublisherDeps): Publisher {
  let poked = false;
  let rested: (() => void) | undefined;

  async function publishNext(): Promise<number | undefined> {
    return deps.outbox.exclusively(async (locked) => {
      const rows = await locked.waiting(MESSAGES_AT_ONCE, deps.maxOpenTasks);
      if (rows.length === 0) return 0;
      const wanted = await locked.lockTasks(rows.flatMap(({ externalTaskId }) => externalTaskId ?? []));
      const isWanted = ({ externalTaskId }: OutboxRow) =>
        externalTaskId === null || wanted.get(externalTaskId) === true;
      const messages = await messagesOf(deps, locked, rows.filter(isWanted));
      await deps.failpoint('outbox.beforePublish');
      if (messages.length > 0) await send(messages);
      await deps.failpoint('outbox.afterPublish');
      const tasks = [...wanted];
      await locked.done(
        tasks.flatMap(([id, live]) => (live ? [id] : [])),
        tasks.flatMap(([id, live]) => (live ? [] : [id])),
        rows.map(({ id }) => id),
      );
      return rows.length;
    });
  }

  async function send(messages: readonly OutgoingMessage[]): Promise<void> {
    const counted = (result: 'published' | 'failed') => {
      for (const { topic } of messages) deps.metrics.message(topic, result);
    };
    try {
      await deps.transport.publish(messages);
    } catch (error) {
      counted('failed');
      throw error;
    }
    counted('published');
  }

  /** Until there may be something, or the time is over. */
  async function rest(milliseconds: number, signal: AbortSignal): Promise<void> {
    if (poked || signal.aborted) return;
    const over = new AbortController();
    rested = () => over.abort();
    await pause(milliseconds, AbortSignal.any([signal, over.signal]));
    rested = undefined;
  }

  return {
    publishNext,
    wake() {
      poked = true;
      rested?.();
    },
    async work(signal) {
      for (let failures = 0; !signal.aborted; ) {
        poked = false;
        try {
          const published = await publishNext();
          failures = 0;
          deps.log.passed?.('publish_outbox', undefined);
          // Another process publishes: what wakes this one wakes that one as well.
          if (published === undefined) await pause(POLL_EVERY_MS, signal);
          else if (published === 0) await rest(POLL_EVERY_MS, signal);
        } catch (error) {
          failures += 1;
          deps.log.warn('outbox_not_published', { failures, error: errorMessage(error) });
          deps.log.passed?.('publish_outbox', error);
          await pause(growingDelay(failures, RETRY_FROM_MS, RETRY_TO_MS), signal);
        }
      }
    },
  };
}

/** In the order of the rows. Dead letters are made of what is stored of their tasks, unless that was erased since. */
async function messagesOf(
  deps: Pick<PublisherDeps, 'plans' | 'deadLetters' | 'publishesDeadLetters'>,
  locked: LockedOutbox,
  rows: readonly OutboxRow[],
): Promise<OutgoingMessage[]> {
  const failed = await locked.failedTasks(
    deps.publishesDeadLetters ? rows.filter((row) => row.failed !== undefined) : [],
  );
  const messages: OutgoingMessage[] = [];
  for (const row of rows) {
    const { topic, key, value, headers } = row;
    const task = failed.get(row.id);
    if (row.failed === undefined) messages.push({ topic, key, value, headers });
    else if (task !== undefined) messages.push(await deadLetterOf(deps, row, row.failed.attempt, task));
  }
  return messages;
}

async function deadLetterOf(
  { plans, deadLetters }: Pick<PublisherDeps, 'plans' | 'deadLetters'>,
  row: OutboxRow,
  attempts: number,
  { run, of, handler, inputs, error, createdAt }: FailedTask,
): Promise<OutgoingMessage> {
  const planned = taskOf(await plans.of(of), row.key);
  return deadLetterMessage(
    {
      ...{ run, taskId: row.key, handler, inputs, attempts, createdAt },
      maxAttempts: planned?.action.retry.max_attempts ?? attempts,
      error: errorText(error) ?? '',
      failedAt: row.createdAt,
    },
    deadLetters,
  );
}
