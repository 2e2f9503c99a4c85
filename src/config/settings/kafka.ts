/** The settings of the messages of flow runs: their topics, and how Kafka is reached. */
import { addresses, flag, list, oneOf, text, whole } from '../types.ts';
import { optional, setting } from './setting.ts';

const topic = <const Name extends string>(name: Name, standard: string, what: string) =>
  setting(name, text(), {
    default: standard,
    description: `The topic of ${what}; with Redis Streams the name of its stream.`,
  });

export const kafka = {
  kafka: {
    servers: optional('KAFKA_BOOTSTRAP_SERVERS', addresses(9092), {
      description:
        'Brokers of Kafka, host or host:port; a list. When it is set, flow runs are taken from Kafka and their tasks published there.',
    }),
    group: setting('KAFKA_CONSUMER_GROUP', text(), {
      default: 'orchestrator-service',
      description: 'The consumer group of this installation, of Kafka or of Redis Streams.',
    }),
    offsetReset: setting('KAFKA_AUTO_OFFSET_RESET', oneOf(['latest', 'earliest']), {
      default: 'latest',
      description:
        'Where a group starts that has committed no offset: latest skips what was published before its first start, earliest takes it.',
    }),
    protocol: setting('KAFKA_SECURITY_PROTOCOL', oneOf(['PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL']), {
      default: 'PLAINTEXT',
      description: 'How the brokers are spoken to.',
    }),
    saslMechanism: setting('KAFKA_SASL_MECHANISM', oneOf(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']), {
      default: 'PLAIN',
      description: 'How this service logs in at the brokers, where the protocol is one of SASL.',
    }),
    saslUsername: optional('KAFKA_SASL_USERNAME', text(), { description: 'The user of that login.' }),
    saslPassword: optional('KAFKA_SASL_PASSWORD', text(), {
      secret: true,
      description: 'The password of that login.',
    }),
    caPath: optional('KAFKA_SSL_CA_PATH', text(), {
      description: 'A file with the certificates that the brokers are checked by, besides those that Node knows.',
    }),
    certPath: optional('KAFKA_SSL_CERT_PATH', text(), {
      description: 'A file with the certificate of this service, for brokers that ask for one.',
    }),
    keyPath: optional('KAFKA_SSL_KEY_PATH', text(), { description: 'The file with its key.' }),
    maxMessageBytes: setting('KAFKA_MAX_MESSAGE_BYTES', whole(1_024, 104_857_600), {
      default: '1048576',
      description:
        'The largest message that is taken or published. A larger task is published with a link to its inputs instead of them.',
    }),
    handlers: setting('KAFKA_HANDLERS', list(), {
      default: '*',
      description:
        'Handlers of flows that have no adapter here and are published as tasks; a list, * stands for any characters. Others are rejected.',
    }),
    httpTopics: setting('EXTERNAL_HTTP_TOPICS', list(), {
      default: '',
      description:
        'Topics of external tasks that are leased over HTTP (POST /tasks/poll) although there is a transport; a list.',
    }),
    tenants: optional('KAFKA_TENANTS', list(), {
      description:
        'The tenants whose runs may come by messages, as anybody who can publish chooses the tenant: a list, or * for all. By default it is the tenant default when authentication is configured, and * when it is not.',
    }),
  },
  flowTransport: {
    kind: optional('FLOW_TRANSPORT', oneOf(['kafka', 'redis-streams']), {
      description:
        'How messages of flow runs come and go. By default it is kafka when KAFKA_BOOTSTRAP_SERVERS is set; redis-streams uses the Redis of REDIS_URL.',
    }),
    runs: topic('FLOW_RUNS_TOPIC', 'flow_runs', 'requests for flow runs'),
    tasks: topic('TASK_QUEUE_TOPIC', 'task_queue', 'published tasks'),
    done: topic('TASK_DONE_TOPIC', 'task_done', 'completed tasks'),
    failed: topic('TASK_FAILED_TOPIC', 'task_failed', 'failed tasks'),
    deadLetters: topic('DEAD_LETTER_QUEUE_TOPIC', 'dead_letter_queue', 'dead letters'),
    audit: topic('AUDIT_TOPIC', 'agent.audit', 'audit events of sessions'),
    publishDeadLetters: setting('DEAD_LETTER_QUEUE_ENABLED', flag(), {
      default: 'true',
      description: 'false: dead letters are stored, and not published.',
    }),
    maxOpenTasks: setting('MAX_CONCURRENT_TASKS', whole(1, 10_000_000), {
      default: '10000',
      description: 'The maximum number of tasks that are published and not answered; others wait to be published.',
    }),
    streamMaxLength: setting('STREAM_MAXLEN', whole(100, 100_000_000), {
      default: '100000',
      description: 'How long a Redis Stream may get before entries that every group has acknowledged are trimmed.',
    }),
  },
};
