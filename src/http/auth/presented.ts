/** Reads the credential that a request presents, from one header. Addresses and bodies are never read. */
import type { IncomingMessage } from 'node:http';
import type { Headers } from '../middleware/context.ts';

/** A request as authentication needs it: of Express, or of a connection that is to become a socket. */
export interface AuthRequest extends Headers, Pick<IncomingMessage, 'socket'> {
  method: string;
  /** Every header line of its own; what is merged or dropped elsewhere would hide a second credential. */
  headersDistinct: Readonly<Record<string, string[] | undefined>>;
  /** As it was sent, wherever in the app it is read. */
  originalUrl: string;
}

/** Of a request that Express has not seen. */
export function authRequestOf({
  method = 'GET',
  headers,
  headersDistinct,
  socket,
  url = '',
}: IncomingMessage): AuthRequest {
  return {
    method,
    socket,
    headersDistinct,
    originalUrl: url,
    get(name) {
      const value = headers[name.toLowerCase()];
      return Array.isArray(value) ? value[0] : value;
    },
  };
}

export type Presented =
  | { kind: 'nothing' }
  /** Two that differ, or a scheme that is not ours: nobody may choose which one holds. */
  | { kind: 'unreadable'; why: 'two_credentials' | 'unknown_scheme' }
  /** `bearer`: it may be a token; what stands in X-API-Key is a key and nothing else. */
  | { kind: 'credential'; text: string; bearer: boolean };

const BEARER = /^bearer +(\S+) *$/i;

export function presentedBy({ headersDistinct }: AuthRequest): Presented {
  const keys = valuesOf(headersDistinct['x-api-key']);
  const authorizations = valuesOf(headersDistinct['authorization']);
  const tokens = authorizations.map((line) => BEARER.exec(line)?.[1]);
  const [first, ...others] = [...keys, ...tokens];
  if (keys.length + authorizations.length === 0) return { kind: 'nothing' };
  if (first === undefined || others.includes(undefined)) return { kind: 'unreadable', why: 'unknown_scheme' };
  if (others.some((other) => other !== first)) return { kind: 'unreadable', why: 'two_credentials' };
  return { kind: 'credential', text: first, bearer: keys.length === 0 };
}

function valuesOf(lines: readonly string[] | undefined): string[] {
  return (lines ?? []).map((line) => line.trim()).filter((line) => line !== '');
}
