/** What `npm run doctor` sees of the messages of flow runs: the broker, topics, the group, and messages that were lost. */
import type pg from 'pg';
import type { Config } from '../../config/config.ts';
import { type Finding, IDS_SHOWN, ok, problem, unknown, warning } from '../../doctor/finding.ts';
import { listed } from '../../domain/health/why-causes.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import { tasksWithoutMessage, waitingMessages } from './message-store.ts';
import { consumedTopics } from './operation.ts';
import { openTransport } from './transport/open-transport.ts';
import type { TopicCheck, Transport } from './transport/ports.ts';

/** Of the outbox: it is published within a second. */
const OLD_SECONDS = 300;
const SILENT: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

type Settings = Pick<Config, 'transport' | 'kafka' | 'flowTransport' | 'redis'>;

export async function* checkFlowMessages(pool: pg.Pool, config: Config): AsyncGenerator<Finding> {
  yield* checkMessages(pool, config);
  const transport = await openTransport(config, SILENT);
  if (transport === undefined) return;
  try {
    yield* checkBroker(transport, config);
  } finally {
    await transport.close();
  }
}

/** Topics that are missing are named, and made by the operator of the broker: how many partitions they have is a decision. */
export async function* checkBroker(
  transport: Pick<Transport, 'name' | 'ping' | 'check' | 'lag'>,
  { kafka, flowTransport }: Pick<Settings, 'kafka' | 'flowTransport'>,
): AsyncGenerator<Finding> {
  const { name } = transport;
  try {
    await transport.ping();
  } catch (error) {
    yield unknown('flow_broker', error);
    return;
  }
  yield ok('flow_broker', `${name} answers`);
  const consumed = consumedTopics(flowTransport);
  const { tasks, deadLetters, audit, publishDeadLetters } = flowTransport;
  const topics = [...consumed, tasks, ...(publishDeadLetters ? [deadLetters] : []), audit];
  const checks = await transport.check(kafka.group, [...new Set(topics)]);
  const missing = checks.filter(({ exists }) => !exists).map(({ topic }) => topic);
  if (missing.length === 0) yield ok('flow_topics', `all ${checks.length} topics are there`);
  // A stream is there with its first entry.
  else if (name === 'redis-streams') yield ok('flow_topics', `nothing was written yet to ${listed(missing)}`);
  else
    yield problem(
      'flow_topics',
      `there are no topics ${listed(missing)}`,
      'Make them, with as many partitions as members of the group are to share them: the service makes none.',
    );
  yield ofOffsets(kafka.group, checks);
  const known = new Set((await transport.lag(kafka.group, consumed)).map(({ topic }) => topic));
  const unread = consumed.filter((topic) => !missing.includes(topic) && !known.has(topic));
  if (unread.length === 0) yield ok('flow_group', `the group '${kafka.group}' consumes ${listed(consumed)}`);
  else
    yield warning(
      'flow_group',
      `the group '${kafka.group}' has never consumed ${listed(unread)}`,
      `Start the service. What was published before is ${kafka.offsetReset === 'latest' ? 'passed over' : 'taken in'} then (KAFKA_AUTO_OFFSET_RESET=${kafka.offsetReset}).`,
    );
}

function ofOffsets(group: string, checks: readonly TopicCheck[]): Finding {
  const beyond = checks.filter(({ beyondEnd }) => beyondEnd.length > 0);
  if (beyond.length === 0) return ok('flow_offsets', `no offset of the group '${group}' is beyond the end`);
  const named = beyond.map(({ topic, beyondEnd }) => `${topic} (partitions ${beyondEnd.join(', ')})`);
  return problem(
    'flow_offsets',
    `offsets of the group '${group}' are beyond the end of ${named.join(', ')}: the topic was made anew, or restored`,
    'Set the offsets of the group to the start of the topic; what comes again changes nothing.',
  );
}

export async function* checkMessages(
  pool: pg.Pool,
  { transport }: Pick<Settings, 'transport'>,
): AsyncGenerator<Finding> {
  const lost = await tasksWithoutMessage(pool);
  if (lost.length === 0) yield ok('flow_messages', 'every task that is to be published was, or waits in the outbox');
  else
    yield {
      ...problem(
        'flow_messages',
        `${lost.length} open tasks are neither published nor in the outbox`,
        'Their attempts end by their timeout, and are made again. Somebody may have deleted rows of flow_outbox.',
      ),
      ids: lost.slice(0, IDS_SHOWN),
      total: lost.length,
    };
  const { messages, ageSeconds } = await waitingMessages(pool);
  const words = `${messages} messages wait in the outbox, the oldest for ${Math.round(ageSeconds)} s`;
  if (transport === undefined && messages > 0)
    yield warning('flow_outbox', `${words}, and no transport is on`, 'Set KAFKA_BOOTSTRAP_SERVERS, or FLOW_TRANSPORT.');
  else if (ageSeconds > OLD_SECONDS)
    yield warning(
      'flow_outbox',
      words,
      'Look for warnings of the publisher in the logs, and whether MAX_CONCURRENT_TASKS are open.',
    );
  else yield ok('flow_outbox', words);
}
