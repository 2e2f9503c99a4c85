/** The messages of flow runs, put together of the settings and of what the trunk offers. */
import type { Config } from '../../config/config.ts';
import type { ApiParts, WorkerParts } from '../../feature.ts';
import { createLinks } from '../../http/server/links.ts';
import { isDataFault } from '../../store/core/transient.ts';
import { createAnswerStore } from './answers/answers-store.ts';
import { createTakeAnswers } from './answers/take-answers.ts';
import { createExchange, type Exchange } from './exchange.ts';
import { storePoisonOf } from './messages/flow-run-handler.ts';
import type { FlowMetrics } from './metrics.ts';
import type { MessageLimits } from './outbox/messages.ts';
import { createOutboxStore, type OutboxStore } from './outbox/outbox-store.ts';
import { createPublisher } from './outbox/publisher.ts';
import { createTaskOutbox } from './outbox/task-outbox.ts';
import { openTransport } from './transport/open-transport.ts';
import type { HandleMessages } from './transport/ports.ts';

/** `handlers`: of the other topics that come in. */
export function exchangeOf(
  parts: ApiParts,
  metrics: FlowMetrics,
  outbox: OutboxStore,
  handlers: ReadonlyArray<[string, HandleMessages]> = [],
): Exchange {
  const { config, everyTenant, plans, failpoint, log } = parts;
  const { flowTransport, kafka } = config;
  const storePoison = storePoisonOf(parts);
  const takeAnswers = createTakeAnswers({
    ...{ plans, metrics, failpoint, log, isDataFault },
    answers: createAnswerStore(everyTenant),
    runs: parts.runs,
    queue: parts.queue,
    poison: (message, code, error) => storePoison([{ message, code, error }]),
    topics: { done: flowTransport.done, failed: flowTransport.failed },
    maxBytes: kafka.maxMessageBytes,
  });
  return createExchange({
    ...{ outbox, log, group: kafka.group, publishesDeadLetters: flowTransport.publishDeadLetters },
    open: () => openTransport(config, log),
    handlers: new Map([...handlers, [flowTransport.done, takeAnswers], [flowTransport.failed, takeAnswers]]),
    publisher: (transport) =>
      createPublisher({
        ...{ outbox, transport, plans, metrics, failpoint, log },
        deadLetters: limitsOf(config, flowTransport.deadLetters),
        publishesDeadLetters: flowTransport.publishDeadLetters,
        maxOpenTasks: flowTransport.maxOpenTasks,
      }),
  });
}

/** What a worker publishes of what it decides; undefined: no transport is on. */
export function taskOutboxOf({ config, pool, plans, now }: WorkerParts) {
  const { flowTransport, kafka } = config;
  if (config.transport === undefined) return undefined;
  const store = createOutboxStore(pool);
  const outbox = createTaskOutbox({
    plans,
    tasks: limitsOf(config, flowTransport.tasks),
    auditTopic: flowTransport.audit,
    httpTopics: kafka.httpTopics,
    now: () => new Date(now()),
  });
  const ready = () => (flowTransport.publishDeadLetters ? store.subscribe() : Promise.resolve());
  return { outbox, ready };
}

function limitsOf({ publicUrl, kafka }: Pick<Config, 'publicUrl' | 'kafka'>, topic: string): MessageLimits {
  const links = createLinks(publicUrl);
  return {
    topic,
    maxBytes: kafka.maxMessageBytes,
    inputsRef: (runId, taskId, attempt) =>
      links.at(`/v1/tasks/${encodeURIComponent(runId)}/${encodeURIComponent(taskId)}/inputs?attempt=${attempt}`),
  };
}
