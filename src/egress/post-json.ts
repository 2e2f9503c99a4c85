/**
 * Asks a service that the operator has configured, with JSON for JSON. Its address is trusted; it is not followed elsewhere,
 * because whoever answers there would decide instead of it.
 */
import type { OwnCall } from './client-certificates.ts';
import type { Egress } from './egress.ts';

export const MAX_SERVICE_ANSWER_BYTES = 256 * 1_024;

export interface ServiceAnswer {
  status: number;
  /** Undefined: it is no JSON. */
  body: unknown;
}

export interface ServiceQuestion {
  url: URL;
  headers?: Record<string, string>;
  body: object;
  /** Whose certificate of SERVICE_TLS is shown. */
  of: OwnCall;
  signal: AbortSignal;
}

export async function postJson(
  fetch: Egress['fetch'],
  { url, headers, body, of, signal }: ServiceQuestion,
): Promise<ServiceAnswer> {
  const answer = await fetch(url.href, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json', ...headers },
    body: JSON.stringify(body),
    trusted: true,
    certificateFor: { own: of },
    maxBytes: MAX_SERVICE_ANSWER_BYTES,
    withhold: (hop) => (hop.href === url.href ? undefined : `${url.origin} redirects, which is not followed`),
    signal,
  });
  return { status: answer.status, body: jsonOf(await answer.text()) };
}

/** The credentials in a URL, which the outbound policy rejects there, as the header that means them. */
export function basicAuthorization(text: string): Record<string, string> {
  const { username, password } = new URL(text);
  if (username === '' && password === '') return {};
  const pair = `${decoded(username)}:${decoded(password)}`;
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
