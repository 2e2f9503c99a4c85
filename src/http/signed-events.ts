/**
 * `POST /events` from whoever can sign but has no credentials of ours: a valid signature stands for them, on this path
 * only. What is repeated does no harm: the signed body has `source` and `id`, and the same of both is taken once.
 */
import type { RequestHandler } from 'express';
import { OrchestratorError } from '../domain/errors.ts';
import { verifyWebhook } from '../engine/verify-webhook.ts';
import { presentedBy } from './auth/presented.ts';
import { rawBodyOf, readBody } from './body.ts';
import { contextOf } from './context.ts';

const PATH = /^\/events\/?$/;

export function acceptSignedEvents(deps: {
  /** By tenant. */
  secrets: ReadonlyMap<string, readonly string[]>;
  bodyLimitBytes: number;
  clock: { now(): Date };
}): RequestHandler[] {
  if (deps.secrets.size === 0) return [];
  const read = readBody(deps.bodyLimitBytes, { keepRaw: true });
  return [
    (request, response, next) => {
      const signature = request.get('webhook-signature');
      if (request.method !== 'POST' || !PATH.test(request.path) || signature === undefined) return next();
      // Who has both is asked for the credentials: one of them decides.
      if (presentedBy(request).kind !== 'nothing') return next();
      if (Object.keys(request.headers).some((name) => name.startsWith('ce-'))) {
        const message = 'is not signed: send a signed event as one JSON document';
        throw new OrchestratorError('invalid_request', `ce-… ${message}`, { errors: [{ path: 'ce-id', message }] });
      }
      return read(request, response, (error?: unknown) => {
        if (error !== undefined) return next(error);
        const message = {
          id: request.get('webhook-id'),
          timestamp: request.get('webhook-timestamp'),
          signature,
          body: rawBodyOf(request) ?? Buffer.alloc(0),
        };
        const verdict = verifyWebhook(deps.secrets, message, deps.clock.now());
        if ('refused' in verdict) {
          return next(
            new OrchestratorError('unauthorized', 'The signature does not hold for this message at this time'),
          );
        }
        const context = contextOf(response);
        const { correlationId, traceId, parentSpanId } = context;
        context.caller = { tenantId: verdict.by, userId: 'webhook', correlationId, traceId, parentSpanId };
        context.access = { means: 'webhook', roles: ['editor'], scopes: ['executions:run'] };
        return next();
      });
    },
  ];
}
