/** The HTTP API over use cases in memory, with the services of gRPC on its port. */
import type { Transport } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { createHttpCalls } from '../../src/features/grpc/http-calls.ts';
import { createReadiness } from '../../src/features/grpc/readiness.ts';
import { createRouter } from '../../src/features/grpc/router.ts';
import { createRpcProtocol } from '../../src/features/grpc/serve-rpc.ts';
import { clientAddress } from '../../src/http/middleware/client-address.ts';
import { createStreamSlots } from '../../src/http/middleware/stream-slots.ts';
import { createInProcess } from '../../src/http/server/in-process.ts';
import { type Door, type DoorConfig, openDoor } from './http-app.ts';
import type { HttpDeps } from './http-deps.ts';

export const BODY_LIMIT = 64 * 1024;
export const MAX_WATCHERS = 3;

export interface RpcServer extends Door {
  transport: Transport;
  drain(): void;
}

export async function openRpcServer(config: DoorConfig = {}, instead: Partial<HttpDeps> = {}): Promise<RpcServer> {
  const inside = createInProcess();
  const calls = createHttpCalls(inside);
  const readiness = createReadiness(calls);
  const limits = { streams: createStreamSlots(MAX_WATCHERS), addressOf: clientAddress(0) };
  const { corsOrigins = ['*'] } = config;
  const own = createRpcProtocol(createRouter({ calls, readiness, limits }, BODY_LIMIT), {
    corsOrigins,
    bodyLimitBytes: BODY_LIMIT,
  });
  const door = await openDoor({ corsOrigins, bodyLimitBytes: BODY_LIMIT, ...config }, instead, { inside, own });
  return Object.assign(door, { transport: createGrpcTransport({ baseUrl: door.url }), drain: readiness.drain });
}
