/** What is published of what workers decide: attempts of external tasks, and entries of the audit of sessions. */
import { randomBytes } from 'node:crypto';
import { taskOf } from '../../../domain/runs/parts.ts';
import type { Plans } from '../../../engine/accept/plans.ts';
import { attemptSpanId, saysUnsampled, traceparentOf } from '../../../engine/tracing/span-ids.ts';
import type { Json } from '../../../schemas/json.ts';
import type { Outbox } from '../../../store/core/outbox.ts';
import { appendToOutbox } from './append.ts';
import { type MessageLimits, taskMessage } from './messages.ts';

export interface TaskOutboxDeps {
  plans: Plans;
  tasks: MessageLimits;
  auditTopic: string;
  /** These are leased over HTTP. */
  httpTopics: readonly string[];
  now(): Date;
}

export function createTaskOutbox({ plans, tasks, auditTopic, httpTopics, now }: TaskOutboxDeps): Outbox {
  const http = new Set(httpTopics);
  return {
    publishes: (topic) => !http.has(topic),
    async ofTask({ run, actionId, attempt, timeoutMs }, { id, leaseToken, topic, input }) {
      const planned = taskOf(await plans.of(run.of), actionId);
      const traceId = run.traceId || randomBytes(16).toString('hex');
      const spanId = attemptSpanId(run.id, run.epoch, actionId, attempt);
      const message = taskMessage(
        {
          ...{ run, taskId: actionId, handler: topic, attempt, leaseToken },
          inputs: JSON.parse(input) as Json, // It was made of one.
          maxAttempts: planned?.action.retry.max_attempts ?? attempt,
          timeoutSeconds: timeoutMs / 1_000,
          traceparent: traceparentOf(traceId, spanId, !saysUnsampled(run.parentSpan)),
          createdAt: now(),
        },
        tasks,
      );
      return { ...message, tenantId: run.tenantId, runId: run.id, externalTaskId: id };
    },
    ofAudit: (tenantId, entry) => ({
      ...{ topic: auditTopic, tenantId, headers: {} },
      key: String(entry['session_id'] ?? entry['audit_id']),
      value: JSON.stringify(entry),
      runId: typeof entry['execution_id'] === 'string' ? entry['execution_id'] : undefined,
    }),
    append: appendToOutbox,
  };
}
