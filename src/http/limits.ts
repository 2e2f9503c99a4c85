/**
 * How often a client may come: by its credentials, or by its address where nothing is required. Who presents wrong
 * credentials again and again is not even asked for them for a while. The headers are those of
 * draft-ietf-httpapi-ratelimit-headers.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Request, RequestHandler, Response } from 'express';
import type { Access } from '../domain/access.ts';
import { OrchestratorError } from '../domain/errors.ts';
import type { RequestLimit, Taken } from '../engine/request-limits.ts';
import type { Caller } from '../engine/use-cases.ts';
import { type ClientAddress, clientOf } from './client-address.ts';
import { contextOf } from './context.ts';
import { isProbe } from './probes.ts';
import type { StreamPlaces } from './stream-places.ts';

export interface DoorLimits {
  addressOf: ClientAddress;
  /** Undefined: there is none. */
  requests: RequestLimit | undefined;
  /** Of wrong credentials, by address. */
  failures: RequestLimit | undefined;
  streams: StreamPlaces;
}

const WINDOW_SECONDS = 60;
const MOST_KNOWN = 10_000;

/** After the authentication: it says who asks. */
export function limitRequests({ requests, addressOf }: DoorLimits): RequestHandler[] {
  if (requests === undefined) return [];
  return [
    async (request, response, next) => {
      // What watches over the service must see it however much others ask.
      if (isProbe(`${request.baseUrl}${request.path}`)) return next();
      const { caller, access } = contextOf(response);
      const taken = await requests.take(whoIs(caller, access, request, addressOf));
      tell(response, taken);
      if (!taken.allowed) throw refusal('Too many requests', taken);
      return next();
    },
  ];
}

/** For doors that are none of express: undefined while the client has not used up what it may. */
export async function overLimit(
  { requests, addressOf }: DoorLimits,
  { caller, access }: { caller: Caller; access: Access },
  request: IncomingMessage,
): Promise<Taken | undefined> {
  const taken = await requests?.take(whoIs(caller, access, request, addressOf));
  return taken?.allowed === false ? taken : undefined;
}

/** Before the authentication. Credentials that were good a while ago are let through: their holder shares an address. */
export function limitFailures({ failures, addressOf }: DoorLimits): RequestHandler[] {
  if (failures === undefined) return [];
  const good = new Set<string>();
  return [
    (request, response, next) => {
      const credentials = presented(request);
      if (credentials === undefined) return next();
      const who = clientOf(addressIn(request, addressOf));
      const digest = shortened(credentials);
      const over = failures.over(who);
      if (over !== undefined && !good.has(digest)) {
        response.setHeader('WWW-Authenticate', 'Bearer realm="orchestrator"');
        throw refusal('Too many wrong credentials have come from this address', over);
      }
      response.once('finish', () => {
        if (response.statusCode === 401) {
          good.delete(digest);
          void failures.take(who); // Never rejects.
        } else if (contextOf(response).caller !== undefined) remember(good, digest);
      });
      return next();
    },
  ];
}

/** For doors that are none of express: whether the address has none left, and that credentials were wrong. */
export function failuresOf({ failures, addressOf }: DoorLimits): {
  isOver(request: IncomingMessage): boolean;
  failed(request: IncomingMessage): void;
} {
  const who = (request: IncomingMessage) => clientOf(addressIn(request, addressOf));
  return {
    isOver: (request) => failures?.over(who(request)) !== undefined,
    failed(request) {
      void failures?.take(who(request)); // Never rejects.
    },
  };
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

function tell(response: Response, { limit, remaining, resetSeconds }: Taken): void {
  response.setHeader('RateLimit-Policy', `"default";q=${limit};w=${WINDOW_SECONDS}`);
  response.setHeader('RateLimit', `"default";r=${remaining};t=${resetSeconds}`);
}

function refusal(what: string, { resetSeconds }: Taken): OrchestratorError {
  return new OrchestratorError('rate_limited', `${what}; come back in ${resetSeconds} s`, {
    retryAfterSeconds: resetSeconds,
  });
}

function presented(request: Request): string | undefined {
  const key = request.get('x-api-key');
  const authorization = request.get('authorization');
  const given = `${key ?? ''}\n${authorization ?? ''}`;
  return given === '\n' ? undefined : given;
}

function remember(known: Set<string>, digest: string): void {
  if (known.has(digest)) return;
  if (known.size >= MOST_KNOWN) known.clear();
  known.add(digest);
}

function shortened(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
