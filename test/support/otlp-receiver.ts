/** A collector of traces as far as a client sees it: takes OTLP over http/protobuf, and keeps the spans. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  /** Empty: it has none. */
  parentId: string;
  name: string;
  kind: (typeof KINDS)[number];
  startMs: number;
  endMs: number;
  attributes: Record<string, unknown>;
  links: Array<{ traceId: string; spanId: string }>;
  failed: boolean;
  message: string;
  /** Of the process that sent it. */
  resource: Record<string, unknown>;
}

export interface OtlpReceiver {
  url: string;
  spans: ReceivedSpan[];
  requests: IncomingHttpHeaders[];
  close(): Promise<void>;
}

const KINDS = ['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] as const;
const ERROR_CODE = 2;

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const requests: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const isOurs = request.method === 'POST' && request.url === '/v1/traces';
      if (!isOurs || request.headers['content-type'] !== 'application/x-protobuf') {
        response.writeHead(isOurs ? 415 : 404).end();
        return;
      }
      try {
        spans.push(...readRequest(Buffer.concat(chunks)));
        requests.push(request.headers);
        // The empty ExportTraceServiceResponse: everything was taken.
        response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
      } catch {
        response.writeHead(400).end();
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // It listens on a port.
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    requests,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

type Field = { number: number; bytes: Buffer; value: bigint };

/** The fields of a message of Protocol Buffers. Throws where it is none. */
function fieldsOf(bytes: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes.readUInt8(at);
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const none = Buffer.alloc(0);
  while (at < bytes.length) {
    const tag = Number(varint());
    const number = tag >> 3;
    switch (tag & 7) {
      case 0:
        fields.push({ number, value: varint(), bytes: none });
        break;
      case 1:
        fields.push({ number, value: bytes.readBigUInt64LE(at), bytes: bytes.subarray(at, at + 8) });
        at += 8;
        break;
      case 2: {
        const length = Number(varint());
        if (at + length > bytes.length) throw new Error('cut off');
        fields.push({ number, value: 0n, bytes: bytes.subarray(at, at + length) });
        at += length;
        break;
      }
      case 5:
        fields.push({ number, value: BigInt(bytes.readUInt32LE(at)), bytes: none });
        at += 4;
        break;
      default:
        throw new Error(`wire type ${tag & 7}`);
    }
  }
  return fields;
}

const all = (fields: readonly Field[], number: number) =>
  fields.filter((field) => field.number === number).map((field) => field.bytes);
const text = (fields: readonly Field[], number: number) => all(fields, number)[0]?.toString('utf8') ?? '';
const hex = (fields: readonly Field[], number: number) => all(fields, number)[0]?.toString('hex') ?? '';
const value = (fields: readonly Field[], number: number) =>
  fields.find((field) => field.number === number)?.value ?? 0n;

function readRequest(body: Buffer): ReceivedSpan[] {
  return all(fieldsOf(body), 1).flatMap((resourceSpans) => {
    const fields = fieldsOf(resourceSpans);
    const resource = attributesOf(all(fields, 1).flatMap((bytes) => all(fieldsOf(bytes), 1)));
    return all(fields, 2).flatMap((scopeSpans) => all(fieldsOf(scopeSpans), 2).map((span) => readSpan(span, resource)));
  });
}

function readSpan(bytes: Buffer, resource: Record<string, unknown>): ReceivedSpan {
  const fields = fieldsOf(bytes);
  const status = all(fields, 15).flatMap(fieldsOf);
  return {
    traceId: hex(fields, 1),
    spanId: hex(fields, 2),
    parentId: hex(fields, 4),
    name: text(fields, 5),
    kind: KINDS[Number(value(fields, 6))] ?? 'unspecified',
    startMs: Number(value(fields, 7)) / 1e6,
    endMs: Number(value(fields, 8)) / 1e6,
    attributes: attributesOf(all(fields, 9)),
    links: all(fields, 13).map((link) => ({ traceId: hex(fieldsOf(link), 1), spanId: hex(fieldsOf(link), 2) })),
    failed: Number(value(status, 3)) === ERROR_CODE,
    message: text(status, 2),
    resource,
  };
}

function attributesOf(pairs: readonly Buffer[]): Record<string, unknown> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const fields = fieldsOf(pair);
      return [text(fields, 1), anyValue(all(fields, 2).flatMap(fieldsOf)[0])];
    }),
  );
}

function anyValue(field: Field | undefined): unknown {
  switch (field?.number) {
    case 1:
      return field.bytes.toString('utf8');
    case 2:
      return field.value !== 0n;
    case 3:
      return Number(field.value);
    case 4:
      return field.bytes.readDoubleLE();
    default:
      return undefined;
  }
}
