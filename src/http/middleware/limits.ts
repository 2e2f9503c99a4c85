/**
 * How often a client may come: by its credentials, or by its address where nothing is required. Wrong credentials are
 * counted by address, and are 429 when there were too many; right ones from there pass all the same. The headers are those
 * of draft-ietf-httpapi-ratelimit-headers.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { RequestHandler, Response } from 'express';
import type { Access } from '../../domain/access.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { RequestLimit, Taken } from '../../engine/accept/request-limits.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import { isProbe } from '../server/probes.ts';
import { type ClientAddress, clientOf } from './client-address.ts';
import { contextOf } from './context.ts';
import type { StreamSlots } from './stream-slots.ts';

export interface ApiLimits {
  addressOf: ClientAddress;
  /** Undefined: there is none. */
  requests: RequestLimit | undefined;
  /** Of wrong credentials, by address. */
  failures: RequestLimit | undefined;
  /** Of wrong signatures of events, by tenant and address. */
  signatures?: RequestLimit | undefined;
  /** Called for each. */
  signatureRejected?: ((reason: string) => void) | undefined;
  streams: StreamSlots;
  /** Notices an untrusted peer that forwards requests for others: all behind a proxy are one client then. */
  noticeForwarding?: ((request: IncomingMessage) => void) | undefined;
}

const WINDOW_SECONDS = 60;

/** After the authentication, which identifies the caller. */
export function limitRequests({ requests, addressOf }: ApiLimits): RequestHandler[] {
  if (requests === undefined) return [];
  return [
    async (request, response, next) => {
      // Monitoring must reach the service however many requests others make.
      if (isProbe(`${request.baseUrl}${request.path}`)) return next();
      const { caller, access } = contextOf(response);
      const taken = await requests.take(whoIs(caller, access, request, addressOf));
      setHeaders(response, taken);
      if (!taken.allowed) throw rateLimited('Too many requests', taken);
      return next();
    },
  ];
}

/** For upgrades, which Express does not see: undefined while the client has not used up what it may. */
export async function overLimit(
  { requests, addressOf }: ApiLimits,
  { caller, access }: { caller: Caller; access: Access },
  request: IncomingMessage,
): Promise<Taken | undefined> {
  const taken = await requests?.take(whoIs(caller, access, request, addressOf));
  return taken?.allowed === false ? taken : undefined;
}

/** Counts wrong credentials by address. Right ones are let in however many wrong ones come. */
export interface Guesses {
  /** Counts one wrong credential; what it is answered with when too many have come from its address. Never rejects. */
  count(request: IncomingMessage): Promise<Taken | undefined>;
}

export function createGuesses({ failures, addressOf }: ApiLimits): Guesses {
  return {
    async count(request) {
      const taken = await failures?.take(clientOf(addressIn(request, addressOf)));
      return taken?.allowed === false ? taken : undefined;
    },
  };
}

export function tooManyGuesses(taken: Taken): OrchestratorError {
  return rateLimited('Too many wrong credentials have come from this address', taken);
}

/** Before everything that goes by addresses. */
export function noticeForwarding({ noticeForwarding: notice }: ApiLimits): RequestHandler[] {
  if (notice === undefined) return [];
  return [
    (request, _response, next) => {
      notice(request);
      next();
    },
  ];
}

export function addressIn(request: IncomingMessage, addressOf: ClientAddress): string {
  const forwarded = request.headers['x-forwarded-for'];
  return addressOf(request.socket.remoteAddress, Array.isArray(forwarded) ? forwarded.join(',') : forwarded);
}

function whoIs(
  caller: Caller | undefined,
  access: Access | undefined,
  request: IncomingMessage,
  addressOf: ClientAddress,
): string {
  // What is only believed could be another with each request.
  if (caller === undefined || access === undefined || access.means === 'none') {
    return `address ${clientOf(addressIn(request, addressOf))}`;
  }
  return shortened(JSON.stringify([access.means, caller.tenantId, caller.userId]));
}

function setHeaders(response: Response, { limit, remaining, resetSeconds }: Taken): void {
  response.setHeader('RateLimit-Policy', `"default";q=${limit};w=${WINDOW_SECONDS}`);
  response.setHeader('RateLimit', `"default";r=${remaining};t=${resetSeconds}`);
}

function rateLimited(what: string, { resetSeconds }: Taken): OrchestratorError {
  return new OrchestratorError('rate_limited', `${what}; come back in ${resetSeconds} s`, {
    retryAfterSeconds: resetSeconds,
  });
}

function shortened(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
