/** What all responses have, and how parts of an answer of the HTTP API become fields. */
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import type { HttpAnswer } from './http-calls.ts';
import { invalid } from './problems.ts';

/** The fields that the older service had. */
export function head({ headers }: Pick<HttpAnswer, 'headers'>, message = '') {
  return { responseId: String(headers['x-request-id'] ?? ''), success: true, message };
}

export function replayed({ headers }: HttpAnswer): boolean {
  return headers['idempotency-replayed'] === 'true';
}

/** Null where it has not happened. */
export function timeOf(text: string | null | undefined): Timestamp | undefined {
  return text === null || text === undefined ? undefined : timestampFromDate(new Date(text));
}

/** One part of a path. */
export function part(field: string, text: string): string {
  if (text === '') throw invalid(field, 'is missing');
  try {
    return encodeURIComponent(text);
  } catch {
    throw invalid(field, 'is no text');
  }
}

export function requestHeaders({
  requestId,
  idempotencyKey = '',
}: {
  requestId: string;
  idempotencyKey?: string;
}): Record<string, string> {
  return {
    ...(requestId === '' ? {} : { 'x-request-id': requestId }),
    ...(idempotencyKey === '' ? {} : { 'idempotency-key': idempotencyKey }),
  };
}
