/**
 * `POST /events` from whoever can sign but has no credentials of ours: a valid signature stands for them, on this path
 * only. The request names its tenant first, so only that tenant's secrets are tried. What is repeated does no harm: the
 * signed body has `source` and `id`, and the same of both is taken once.
 */
import { randomBytes } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import { OrchestratorError } from '../../domain/errors.ts';
import type { Taken } from '../../engine/accept/request-limits.ts';
import { presentedBy } from '../../http/auth/presented.ts';
import { rawBodyOf, readBody } from '../../http/middleware/body.ts';
import { clientOf } from '../../http/middleware/client-address.ts';
import { contextOf, isIdentity } from '../../http/middleware/context.ts';
import { type ApiLimits, addressIn } from '../../http/middleware/limits.ts';
import { faultOf, type SignatureFault, verifyWebhook } from '../webhooks/verify-webhook.ts';
import { createSlowLanes } from './slow-lanes.ts';

const PATH = /^\/events\/?$/;
const TENANT_QUERY = 'tenant_id';
const TENANT_HEADER = 'X-Tenant-ID';
/** After too many wrong ones from an address for a tenant: so seldom one is tried, and so many may wait. */
const SLOW_EVERY_MS = 100;
const MOST_WAITING = 50;

export interface SignedEventsDeps {
  /** By tenant. */
  secrets: ReadonlyMap<string, readonly string[]>;
  bodyLimitBytes: number;
  clock: { now(): Date };
  limits?: Pick<ApiLimits, 'addressOf' | 'signatures' | 'signatureRejected'> | undefined;
}

export function acceptSignedEvents(deps: SignedEventsDeps): RequestHandler[] {
  const { secrets, limits, clock } = deps;
  if (secrets.size === 0) return [];
  const read = readBody(deps.bodyLimitBytes, { keepRaw: true });
  const lanes = createSlowLanes({ everyMs: SLOW_EVERY_MS, mostWaiting: MOST_WAITING });
  // A tenant without a secret takes as long as one with another secret.
  const nobodys = [randomBytes(32).toString('base64')];

  function reject(reason: SignatureFault | 'no_tenant', over: Taken | undefined): OrchestratorError {
    limits?.signatureRejected?.(reason);
    if (over !== undefined) return tooMany(over);
    return new OrchestratorError(
      'unauthorized',
      reason === 'no_tenant'
        ? `Several tenants take signed events here: name yours, by ${TENANT_HEADER} or ?${TENANT_QUERY}=`
        : 'The signature does not hold for this message at this time',
    );
  }

  async function check(request: Request, response: Response, signature: string): Promise<void> {
    const context = contextOf(response);
    const message = { id: request.get('webhook-id'), timestamp: request.get('webhook-timestamp'), signature };
    const tenant = namedTenant(request) ?? (secrets.size === 1 ? [...secrets.keys()][0] : undefined);
    if (tenant === undefined) throw reject('no_tenant', undefined);
    context.claimedTenant = tenant;
    const fault = faultOf(message, clock.now());
    if (fault !== undefined) throw reject(fault, undefined);

    const from = limits === undefined ? '' : clientOf(addressIn(request, limits.addressOf));
    const key = JSON.stringify([tenant, from]);
    const over = limits?.signatures?.over(key);
    // Whoever shares an address with somebody who guesses waits a little, and is not rejected for it.
    if (over !== undefined && !(await lanes.wait(key))) throw tooMany(over);
    await new Promise<void>((resolve, reject) => {
      const reading = read(request, response, (error?: unknown) => (error === undefined ? resolve() : reject(error)));
      Promise.resolve(reading).catch(reject);
    });
    const body = rawBodyOf(request) ?? Buffer.alloc(0);
    const rejected = verifyWebhook(secrets.get(tenant) ?? nobodys, { ...message, body }, clock.now());
    if (rejected !== undefined) {
      void limits?.signatures?.take(key); // Never rejects.
      throw reject(rejected, over);
    }
    const { correlationId, traceId, parentSpanId } = context;
    context.caller = { tenantId: tenant, userId: 'webhook', correlationId, traceId, parentSpanId };
    context.access = { means: 'webhook', roles: ['editor'], scopes: ['executions:run'] };
  }

  return [
    (request, response, next) => {
      const signature = request.get('webhook-signature');
      if (request.method !== 'POST' || !PATH.test(request.path) || signature === undefined) return next();
      // With both, the credentials decide.
      if (presentedBy(request).kind !== 'nothing') return next();
      if (Object.keys(request.headers).some((name) => name.startsWith('ce-'))) {
        const message = 'is not signed: send a signed event as one JSON document';
        throw new OrchestratorError('invalid_request', `ce-… ${message}`, { errors: [{ path: 'ce-id', message }] });
      }
      check(request, response, signature).then(() => next(), next);
      return undefined;
    },
  ];
}

function tooMany({ resetSeconds }: Taken): OrchestratorError {
  return new OrchestratorError(
    'rate_limited',
    'Too many wrong signatures have come from this address for this tenant',
    {
      retryAfterSeconds: resetSeconds,
    },
  );
}

/** Undefined: none is named. */
function namedTenant(request: Request): string | undefined {
  const header = request.get(TENANT_HEADER) || undefined;
  const query = request.query[TENANT_QUERY];
  const fault = (path: string, message: string) =>
    new OrchestratorError('invalid_request', `${path} ${message}`, { errors: [{ path, message }] });
  for (const [path, value] of [
    [TENANT_HEADER, header],
    [TENANT_QUERY, query],
  ] as const) {
    if (value !== undefined && !isIdentity(value)) throw fault(path, 'must be 1 to 255 printable ASCII characters');
  }
  if (header !== undefined && query !== undefined && header !== query) {
    throw fault(TENANT_QUERY, `names another tenant than ${TENANT_HEADER}`);
  }
  return header ?? (isIdentity(query) ? query : undefined);
}
