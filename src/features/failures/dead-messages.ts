/** Messages that could not be taken in, among the dead letters. Where nothing takes messages in there are none. */
import type { RejectedMessage, RejectedMessageFilter, RejectedMessages } from '../../engine/ports/rejected-messages.ts';
import type { DeadLetter, DeadLetterFilter, DeadLetterStats, DeadLetterWindow, TaskWindow } from './ports.ts';

export interface MessageWindow {
  limit: number;
  after: { failedAt: Date; id: string | undefined } | undefined;
}

interface Limits {
  dryRun: boolean;
  limit: number;
}

export interface DeadMessages {
  /** One more than the limit, where there are more. */
  list(
    tenantId: string,
    filter: DeadLetterFilter,
    window: MessageWindow,
  ): Promise<{ items: RejectedMessage[]; total: number }>;
  stats(tenantId: string): Promise<DeadLetterStats | undefined>;
  retry(tenantId: string, filter: DeadLetterFilter, limits: Limits): Promise<{ done: number; total: number }>;
  discard(tenantId: string, filter: DeadLetterFilter, limits: Limits): Promise<{ done: number; total: number }>;
}

export function createDeadMessages(source: () => RejectedMessages | undefined): DeadMessages {
  async function change(
    tenantId: string,
    filter: DeadLetterFilter,
    act: (messages: RejectedMessages, chosen: RejectedMessageFilter, total: number) => Promise<number>,
  ): Promise<{ done: number; total: number }> {
    const messages = source();
    const chosen = messageFilterOf(filter);
    if (messages === undefined || chosen === undefined) return { done: 0, total: 0 };
    const total = await messages.count(tenantId, chosen);
    return { done: total === 0 ? 0 : await act(messages, chosen, total), total };
  }

  return {
    async list(tenantId, filter, { limit, after }) {
      const messages = source();
      const chosen = messageFilterOf(filter);
      if (messages === undefined || chosen === undefined) return { items: [], total: 0 };
      const [items, total] = await Promise.all([
        messages.list(tenantId, chosen, { limit: limit + 1, after }),
        messages.count(tenantId, chosen),
      ]);
      return { items, total };
    },
    stats: async (tenantId) => source()?.stats(tenantId),
    retry: (tenantId, filter, { dryRun, limit }) =>
      change(tenantId, filter, async (messages, chosen, total) =>
        dryRun ? Math.min(total, limit) : messages.retry(tenantId, chosen, limit),
      ),
    discard: (tenantId, filter, { dryRun, limit }) =>
      change(tenantId, filter, async (messages, chosen, total) =>
        dryRun ? Math.min(total, limit) : messages.discard(tenantId, chosen, limit),
      ),
  };
}

/** Undefined: what is asked for is no message. */
function messageFilterOf(filter: DeadLetterFilter): RejectedMessageFilter | undefined {
  const { actionType, workflowId, fingerprint, tasks, messages } = filter;
  if ([actionType, workflowId, fingerprint].some((value) => value !== undefined)) return undefined;
  if (tasks !== undefined && (messages ?? []).length === 0) return undefined;
  return { ids: messages, code: filter.errorCode, from: filter.from, to: filter.to };
}

export function isMessage(letter: DeadLetter | RejectedMessage): letter is RejectedMessage {
  return 'offset' in letter;
}

/** Of those that failed at the same time tasks come first. */
export function pagesAfter({ limit, after }: DeadLetterWindow): { tasks: TaskWindow; messages: MessageWindow } {
  if (after === undefined) return { tasks: { limit, after }, messages: { limit, after } };
  const { failedAt } = after;
  if ('messageId' in after) {
    return {
      tasks: { limit, after: { failedAt, runId: '', actionId: '' } },
      messages: { limit, after: { failedAt, id: after.messageId } },
    };
  }
  return { tasks: { limit, after }, messages: { limit, after: { failedAt, id: undefined } } };
}

/** Both are sorted. */
export function merged(
  tasks: readonly DeadLetter[],
  messages: readonly RejectedMessage[],
): Array<DeadLetter | RejectedMessage> {
  const timeOf = (letter: DeadLetter | RejectedMessage) =>
    (isMessage(letter) ? letter.failedAt : letter.finishedAt).getTime();
  return [...tasks, ...messages].sort((one, other) => timeOf(other) - timeOf(one));
}

export function addedStats(one: DeadLetterStats, other: DeadLetterStats): DeadLetterStats {
  const times = (pick: 'oldest' | 'newest') => [one[pick], other[pick]].filter((time) => time !== null);
  const [oldest, newest] = [times('oldest'), times('newest')].map((list) => list.map((time) => time.getTime()));
  return {
    failed: one.failed + other.failed,
    retryable: one.retryable + other.retryable,
    retried: one.retried + other.retried,
    oldest: oldest === undefined || oldest.length === 0 ? null : new Date(Math.min(...oldest)),
    newest: newest === undefined || newest.length === 0 ? null : new Date(Math.max(...newest)),
  };
}
