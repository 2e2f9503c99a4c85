/** What is measured of the messages of flow runs, whichever transport carries them. Topics are settings, so they are few. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { inTime } from '../../telemetry/in-time.ts';
import type { PartitionLag } from './transport/ports.ts';

/**
 * In: `taken` changed something, `repeated` had come before, `poison` became a dead letter, `late` came after its attempt had
 * ended, `ignored` is of no task here. Out: `published`, and `failed` for each try that the transport did not confirm.
 */
export type MessageResult = 'taken' | 'repeated' | 'poison' | 'late' | 'ignored' | 'published' | 'failed';

export interface FlowMetrics {
  message(topic: string, result: MessageResult): void;
  /** An answer that came too late to count. */
  lateAnswer(): void;
}

/** What is read at each scrape; what cannot be read in time is not shown. */
export interface FlowGauges {
  /** Topics that come in: alerts on the first poison of one need a series that was 0 before. */
  consumed: readonly string[];
  lag(): Promise<readonly PartitionLag[]>;
  /** Of the oldest message that is not published; 0: all are. */
  outboxAgeSeconds(): Promise<number | undefined>;
}

const NOTHING: FlowGauges = {
  consumed: [],
  lag: () => Promise.resolve([]),
  outboxAgeSeconds: () => Promise.resolve(undefined),
};

/** A scrape does not wait for a broker that is away. */
const READ_MS = 3_000;

/** Without a transport nothing is read, and the families are empty. */
export function createFlowMetrics(gauges: FlowGauges = NOTHING): FlowMetrics & { register(registry: Registry): void } {
  const messages = new Counter({
    name: 'orchestrator_kafka_messages_total',
    help: 'Messages of flow runs that came or went, by what became of them',
    labelNames: ['topic', 'result'],
    registers: [],
  });
  const late = new Counter({
    name: 'orchestrator_kafka_late_answers_total',
    help: 'Answers to tasks that came too late to count',
    registers: [],
  });
  for (const topic of gauges.consumed) messages.inc({ topic, result: 'poison' }, 0);
  return {
    message(topic, result) {
      messages.inc({ topic, result });
    },
    lateAnswer() {
      late.inc();
    },
    register(registry) {
      registry.registerMetric(messages);
      registry.registerMetric(late);
      registry.registerMetric(lagGauge(gauges));
      registry.registerMetric(outboxGauge(gauges));
    },
  };
}

function lagGauge({ lag }: FlowGauges): Gauge {
  return new Gauge({
    name: 'orchestrator_kafka_lag',
    help: 'Messages of a partition that the consumer group has not done with',
    labelNames: ['topic', 'partition'],
    registers: [],
    async collect() {
      const found = await inTime(shown(lag()), READ_MS);
      this.reset();
      for (const { topic, partition, lag: value } of found ?? []) this.set({ topic, partition }, value);
    },
  });
}

function outboxGauge({ outboxAgeSeconds }: FlowGauges): Gauge {
  return new Gauge({
    name: 'orchestrator_kafka_outbox_age_seconds',
    help: 'How long the oldest message of the outbox has waited to be published',
    registers: [],
    async collect() {
      const age = await inTime(shown(outboxAgeSeconds()), READ_MS);
      if (age === undefined) this.remove();
      else this.set(age);
    },
  });
}

/** What fails is not shown, as what is late. */
function shown<T>(reading: Promise<T>): Promise<T | undefined> {
  return reading.catch(() => undefined);
}
