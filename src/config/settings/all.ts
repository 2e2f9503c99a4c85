/** Every setting: `.env.template` and docs/configuration.md list them in this order. */
import { access } from './access.ts';
import { enterprise } from './enterprise.ts';
import { environment } from './environment.ts';
import { flowRunner } from './flow-runner.ts';
import { kafka } from './kafka.ts';
import { kubernetes } from './kubernetes.ts';
import { messages } from './messages.ts';
import { outbound } from './outbound.ts';
import { policy } from './policy.ts';
import { queue } from './queue.ts';
import { retention } from './retention.ts';
import { secrets } from './secrets.ts';
import { address, build, requests } from './server.ts';
import { sessions } from './sessions.ts';
import type { Placed } from './setting.ts';
import { stores } from './stores.ts';
import { telemetry } from './telemetry.ts';
import { workers } from './workers.ts';

export const SETTINGS = {
  ...address,
  ...build,
  ...access,
  ...requests,
  ...stores,
  ...workers,
  ...outbound,
  ...policy,
  ...kubernetes,
  ...flowRunner,
  ...kafka,
  ...messages,
  ...sessions,
  ...secrets,
  ...queue,
  ...retention,
  ...telemetry,
  ...enterprise,
  ...environment,
};

export type Settings = Placed<typeof SETTINGS>;
