/** Health checks: ours as the older service had them, and those of `grpc.health.v1`. Both need no credentials. */
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from '@connectrpc/connect';
import { clientOf } from '../../http/middleware/client-address.ts';
import type { ApiLimits } from '../../http/middleware/limits.ts';
import { STATUS } from './domain.ts';
import { Health } from './generated/grpc/health/v1/health_pb.ts';
import { HealthService, HealthCheckResponse_ServingStatus as Serving } from './generated/health_pb.ts';
import { CALL_ORIGIN } from './http-calls.ts';
import { errorOf } from './problems.ts';
import type { Readiness } from './readiness.ts';

/** After which there may be room for another watcher. */
const FULL_SECONDS = 5;

export interface HealthDeps {
  readiness: Readiness;
  limits: Pick<ApiLimits, 'streams' | 'addressOf'>;
  /** The full names of all that are served. */
  services: ReadonlySet<string>;
}

export function healthServices(router: ConnectRouter, deps: HealthDeps): void {
  const isKnown = (service: string) => service === '' || service === 'orchestrator' || deps.services.has(service);

  async function check(service: string, context: HandlerContext): Promise<Serving> {
    if (!isKnown(service)) return Serving.SERVICE_UNKNOWN;
    return servingOf(await deps.readiness.isReady(context));
  }

  async function* watch({ service }: { service: string }, context: HandlerContext) {
    const slot = deps.limits.streams.take(`health checks of ${addressOf(context)}`);
    if (slot === undefined) {
      const detail = 'As many health checks are watched from this address as may be';
      const status = STATUS.resourceExhausted;
      throw errorOf({ status, reason: 'rate_limited', detail, retryAfterSeconds: FULL_SECONDS });
    }
    try {
      const first = await check(service, context);
      if (first === Serving.SERVICE_UNKNOWN) {
        yield { status: first };
        await deps.readiness.drained(context.signal);
        return;
      }
      const changes = deps.readiness.changes(first === Serving.SERVING, context.signal);
      for await (const ready of changes) yield { status: servingOf(ready) };
    } finally {
      slot.release();
    }
  }

  /** All from one network are one client. */
  function addressOf(context: HandlerContext): string {
    const origin = context.values.get(CALL_ORIGIN);
    const forwarded = context.requestHeader.get('x-forwarded-for') ?? undefined;
    return clientOf(deps.limits.addressOf(origin?.carrier.remoteAddress, forwarded));
  }

  router.service(HealthService, {
    check: async ({ service }, context) => ({ status: await check(service, context) }),
    watch,
  });
  router.service(Health, {
    async check({ service }, context) {
      if (!isKnown(service)) throw new ConnectError(`There is no service '${service.slice(0, 200)}'`, Code.NotFound);
      // The numbers are the same.
      return { status: (await check(service, context)) as number };
    },
    watch: watch as (request: { service: string }, context: HandlerContext) => AsyncIterable<{ status: number }>,
  });
}

function servingOf(ready: boolean): Serving {
  return ready ? Serving.SERVING : Serving.NOT_SERVING;
}
