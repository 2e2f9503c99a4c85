/** What may be sent: methods, headers, and how a redirect changes both (RFC 9110, 15.4). */
import { EgressError } from './errors.ts';

export interface OutboundRequest {
  method: string;
  /** Lower-case names. */
  headers: Record<string, string>;
  body: string | undefined;
}

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
/** The client's own: with one of them a caller could split or smuggle a request, or reach another virtual host. */
const FORBIDDEN_HEADERS = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'proxy-connection',
  'keep-alive',
  'upgrade',
  'te',
  'trailer',
  'expect',
]);
/** The headers that are sent to another origin: any other header may be a credential. */
const HEADERS_FOR_OTHERS = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'content-type',
  'user-agent',
  'traceparent',
  'x-correlation-id',
  'idempotency-key',
  'compensates-idempotency-key',
]);
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

export function toOutboundRequest(init: {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}): OutboundRequest {
  const method = (init.method ?? 'GET').toUpperCase();
  if (!METHODS.has(method))
    throw new EgressError('bad_request', `the method must be one of ${[...METHODS].join(', ')}`);
  const headers: Array<[string, string]> = [['accept-encoding', 'gzip, deflate, br']];
  for (const [name, value] of Object.entries(init.headers ?? {})) {
    if (!HEADER_NAME.test(name)) throw new EgressError('bad_request', `${JSON.stringify(name)} is not a header name`);
    if (FORBIDDEN_HEADERS.has(name.toLowerCase()))
      throw new EgressError('bad_request', `the header ${name} cannot be set`);
    if (!HEADER_VALUE.test(value)) {
      throw new EgressError('bad_request', `the value of the header ${name} holds a character that no header may hold`);
    }
    headers.push([name.toLowerCase(), value]);
  }
  return { method, headers: Object.fromEntries(headers), body: init.body };
}

/** Where the answer points, or undefined when it is the last one. */
export function redirectTarget(status: number, location: string | undefined, from: URL): URL | undefined {
  if (!REDIRECTS.has(status) || location === undefined) return undefined;
  if (!URL.canParse(location, from.href))
    throw new EgressError('bad_answer', `${from.origin} redirects to what is not a URL`);
  return new URL(location, from.href);
}

export function afterRedirect(
  request: OutboundRequest,
  { status, from, to }: { status: number; from: URL; to: URL },
  isPrivate: (text: string) => boolean = () => false,
): OutboundRequest {
  const becomesGet =
    (status === 303 && request.method !== 'HEAD') || ((status === 301 || status === 302) && request.method === 'POST');
  const method = becomesGet ? 'GET' : request.method;
  const body = becomesGet ? undefined : request.body;
  // A body may contain secrets as a header may: it is sent only to the origin it was written for. The same host over TLS is the same.
  const upgraded = from.hostname === to.hostname && from.protocol === 'http:' && to.protocol === 'https:';
  if (body !== undefined && from.origin !== to.origin && !upgraded) {
    throw new EgressError('denied', `${from.origin} redirects a request with a body to another origin`, {
      refusal: 'redirected_body',
    });
  }
  const headers = Object.entries(request.headers).filter(
    ([name, value]) =>
      (from.origin === to.origin || (HEADERS_FOR_OTHERS.has(name) && !isPrivate(value))) &&
      (body !== undefined || !name.startsWith('content-')),
  );
  return { method, headers: Object.fromEntries(headers), body };
}
