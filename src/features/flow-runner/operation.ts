/** What operators see of the messages of flow runs: the health of the broker, and why tasks wait. */
import type pg from 'pg';
import type { Config } from '../../config/config.ts';
import type { ApiHooks } from '../../feature.ts';
import { inTime } from '../../telemetry/in-time.ts';
import { openMessagesOf } from './message-store.ts';
import { causeOfMessage } from './open-messages.ts';
import type { Transport } from './transport/ports.ts';

/** Who asks why does not wait for a broker that is away. */
const ANSWER_MS = 2_000;

/** Topics that are consumed. */
export function consumedTopics({ runs, done, failed }: Config['flowTransport']): string[] {
  return [runs, done, failed];
}

/** `pool`: of the tenant of the request. */
export function flowHooks(
  transport: Pick<Transport, 'name' | 'ping'>,
  pool: pg.Pool,
  { flowTransport }: Pick<Config, 'flowTransport'>,
): Pick<ApiHooks, 'dependencies' | 'whyWaiting'> {
  const answers = () =>
    transport.ping().then(
      () => true,
      () => false,
    );
  return {
    dependencies: [{ name: transport.name, kind: 'broker', ping: () => transport.ping() }],
    async whyWaiting(run, actionIds) {
      const open = await inTime(
        openMessagesOf(pool, run, actionIds).catch(() => []),
        ANSWER_MS,
      );
      if (open === undefined || open.length === 0) return new Map();
      const isReachable = (await inTime(answers(), ANSWER_MS)) === true;
      const around = { topic: flowTransport.tasks, isReachable, maxOpenTasks: flowTransport.maxOpenTasks };
      return new Map(open.map((message) => [message.actionId, causeOfMessage(message, around)]));
    },
  };
}
