/** The one place that knows whether BullMQ runs on Redis or on PostgreSQL. */
import type { Backend, BackendOptions } from './backend.ts';
import { openPostgres } from './postgres-backend.ts';
import { openRedis } from './redis-backend.ts';

export function openBackend(options: BackendOptions): Backend {
  return options.redis === undefined ? openPostgres(options) : openRedis(options, options.redis);
}
