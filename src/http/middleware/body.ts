/** Reads a body: JSON in UTF-8, not compressed, of bounded size and shape. */
import type { Request, RequestHandler } from 'express';
import { OrchestratorError } from '../../domain/errors.ts';
import type { Json } from '../../schemas/json.ts';
import { guardJson } from '../../schemas/json-guard.ts';
import { detailOf } from '../server/parse.ts';

const LINGER_MS = 1_000;
const LINGER_BYTES = 16 * 1024 * 1024;
/** Of all requests under way together. */
const MAX_BUFFERED_BYTES = 256 * 1024 * 1024;

/** `undefined`: there was none. */
const bodies = new WeakMap<Request, Json>();

export function bodyOf(request: Request): Json | undefined {
  return bodies.get(request);
}

/** The bytes themselves, where `keepRaw` is set. */
const raws = new WeakMap<Request, Buffer>();

export function rawBodyOf(request: Request): Buffer | undefined {
  return raws.get(request);
}

export function readBody(
  limitBytes: number,
  { maxBufferedBytes = MAX_BUFFERED_BYTES, keepRaw = false }: { maxBufferedBytes?: number; keepRaw?: boolean } = {},
): RequestHandler {
  let buffered = 0;
  return async (request, response, next) => {
    if (hasBody(request) && !raws.has(request)) {
      checkMediaType(request);
      // Where no length is announced it may become as long as is allowed.
      const announced = Math.min(Number(request.headers['content-length'] ?? limitBytes), limitBytes);
      if (buffered > 0 && buffered + announced > maxBufferedBytes)
        throw new OrchestratorError('overloaded', 'Too many bodies are being read at the same time', {
          retryAfterSeconds: 1,
        });
      buffered += announced;
      response.once('close', () => {
        buffered -= announced;
      });
      const bytes = await readBytes(request, limitBytes);
      if (keepRaw) raws.set(request, bytes);
      if (bytes.length > 0) bodies.set(request, parseJson(bytes));
    }
    next();
  };
}

/**
 * What goes beyond the limit is thrown away unread, but not for ever: a client that is still sending when the
 * connection closes may never see the answer, and one that sends without end must not occupy us.
 */
function readBytes(request: Request, limitBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    let lingering: NodeJS.Timeout | undefined;
    const settle = (outcome: () => void) => {
      clearTimeout(lingering);
      request.off('data', onData).off('end', onEnd).off('error', onBroken).off('close', onBroken);
      outcome();
    };
    const tooLarge = () => {
      settle(() => reject(new OrchestratorError('payload_too_large', `The body is larger than ${limitBytes} bytes`)));
    };
    const onData = (chunk: Buffer) => {
      length += chunk.length;
      if (length <= limitBytes) return void chunks.push(chunk);
      chunks.length = 0;
      lingering ??= setTimeout(tooLarge, LINGER_MS);
      if (length > limitBytes + LINGER_BYTES) tooLarge();
    };
    const onEnd = () => (length > limitBytes ? tooLarge() : settle(() => resolve(Buffer.concat(chunks))));
    const onBroken = () => {
      settle(() => reject(new OrchestratorError('invalid_request', 'The body did not arrive as it was announced')));
    };
    request.on('data', onData).on('end', onEnd).on('error', onBroken).on('close', onBroken);
  });
}

function hasBody(request: Request): boolean {
  const length = request.headers['content-length'];
  return request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

/** A closed list, not a guess: a page of another site can send text/plain and forms without asking, but not JSON. */
function checkMediaType(request: Request): void {
  const contentType = request.get('content-type') ?? '';
  const [type = '', ...parameters] = contentType.split(';').map((part) => part.trim().toLowerCase());
  const charset = parameters
    .find((parameter) => parameter.startsWith('charset='))
    ?.slice('charset='.length)
    .replaceAll('"', '');
  const json = type === 'application/json' || /^application\/[\w.!#$&^-]+\+json$/.test(type);
  if (!json) {
    const said = contentType === '' ? 'without Content-Type' : `of type '${contentType.slice(0, 100)}'`;
    throw new OrchestratorError('unsupported_media_type', `The body must be application/json; it came ${said}`);
  }
  // Nothing that we are sent is worth the risk of a compressed bomb.
  if ((request.get('content-encoding') ?? 'identity').toLowerCase() !== 'identity') {
    throw new OrchestratorError('unsupported_media_type', 'A compressed body is not taken');
  }
  if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8' && charset !== 'us-ascii') {
    throw new OrchestratorError('unsupported_media_type', `The body must be in UTF-8, not '${charset.slice(0, 40)}'`);
  }
}

function parseJson(bytes: Buffer): Json {
  let value: Json;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    value = JSON.parse(text) as Json; // JSON.parse makes nothing else.
  } catch (cause) {
    const why = cause instanceof SyntaxError ? 'cannot be read as JSON' : 'is not valid UTF-8';
    throw new OrchestratorError('malformed_json', `The body ${why}`, { cause });
  }
  const faults = guardJson(value);
  if (faults.length > 0) throw new OrchestratorError('invalid_request', detailOf(faults), { errors: faults });
  return value;
}
