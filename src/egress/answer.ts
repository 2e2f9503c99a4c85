/** Reads a complete answer, bounded before and after decompression, so that no caller can leave a socket half read. */
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, inflateRaw } from 'node:zlib';
import { EgressError } from './errors.ts';

export interface OutboundAnswer {
  status: number;
  /** Lower-case names; several values of one name are joined by a comma. */
  headers: Record<string, string>;
  text(): Promise<string>;
  body: AsyncIterable<Uint8Array> | undefined;
}

type Decode = (data: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;
const gunzipAsync: Decode = promisify(gunzip);
const brotliAsync: Decode = promisify(brotliDecompress);
const inflateAsync: Decode = promisify(inflate);
const inflateRawAsync: Decode = promisify(inflateRaw);
/** `deflate` means zlib's format, yet some servers send the bare stream. The low bits of zlib's first byte are 8. */
const deflateAsync: Decode = (data, options) =>
  ((data[0] ?? 0) & 0x0f) === 8 ? inflateAsync(data, options) : inflateRawAsync(data, options);
const DECODERS = new Map<string, Decode>([
  ['gzip', gunzipAsync],
  ['x-gzip', gunzipAsync],
  ['br', brotliAsync],
  ['deflate', deflateAsync],
]);
const MAX_CODINGS = 2;

export function flattenHeaders(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const flat: Array<[string, string]> = [];
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) flat.push([name.toLowerCase(), Array.isArray(value) ? value.join(', ') : value]);
  }
  return Object.fromEntries(flat);
}

export async function readAnswer(
  status: number,
  headers: Record<string, string>,
  stream: AsyncIterable<Uint8Array>,
  maxBytes: number,
): Promise<OutboundAnswer> {
  const raw = await collect(stream, maxBytes);
  const bytes = raw.length === 0 ? raw : await decode(raw, headers['content-encoding'], maxBytes);
  return {
    status,
    headers,
    text: () => Promise.resolve(decoderFor(headers['content-type']).decode(bytes)),
    body: bytes.length === 0 ? undefined : iterate(bytes),
  };
}

async function collect(stream: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge(maxBytes); // Leaving the loop destroys the stream.
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function decode(raw: Buffer, encoding: string | undefined, maxBytes: number): Promise<Buffer> {
  const codings = (encoding ?? '').split(',').map((coding) => coding.trim().toLowerCase());
  const applied = codings.filter((coding) => coding !== '' && coding !== 'identity');
  if (applied.length > MAX_CODINGS) throw new EgressError('bad_answer', 'the answer is compressed too many times over');
  let bytes = raw;
  for (const coding of applied.reverse()) {
    const decoder = DECODERS.get(coding);
    if (decoder === undefined) throw new EgressError('bad_answer', 'the answer has an unknown content-encoding');
    try {
      bytes = await decoder(bytes, { maxOutputLength: maxBytes });
    } catch (error) {
      if (error instanceof RangeError) throw tooLarge(maxBytes); // ERR_BUFFER_TOO_LARGE
      throw new EgressError('bad_answer', `the answer is not valid ${coding}`, { cause: error });
    }
  }
  return bytes;
}

function tooLarge(maxBytes: number): EgressError {
  return new EgressError('too_large', `the answer is larger than ${maxBytes} bytes`);
}

async function* iterate(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function decoderFor(contentType: string | undefined): InstanceType<typeof TextDecoder> {
  const charset = /charset\s*=\s*"?([\w.:-]+)/i.exec(contentType ?? '')?.[1] ?? 'utf-8';
  try {
    return new TextDecoder(charset);
  } catch {
    return new TextDecoder(); // An unknown label is ignored.
  }
}
