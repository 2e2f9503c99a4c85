/** The body of a call, checked while it is read: what is no message ends the call as INVALID_ARGUMENT. */
import { fromBinary } from '@bufbuild/protobuf';
import type { UniversalHandler } from '@connectrpc/connect/protocol';
import { invalid, tooLarge } from './problems.ts';

/** A flag and the length. */
const HEAD_BYTES = 5;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

export interface BodyForm {
  /** Messages follow one another, each after its length; else the body is one message. */
  enveloped: boolean;
  /** JSON otherwise. */
  binary: boolean;
  /** gRPC-Web as text: the body is in base64. */
  text: boolean;
}

/** Undefined: this is of none of the protocols. */
export function bodyFormOf(contentType: string): BodyForm | undefined {
  const type = contentType.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const [, grpc, text, codec = '+proto'] = /^application\/(grpc|grpc-web)(-text)?(\+\w+)?$/.exec(type) ?? [];
  if (grpc !== undefined && (grpc === 'grpc-web' || text === undefined)) {
    return { enveloped: true, binary: codec !== '+json', text: text !== undefined };
  }
  const [, stream, unary] = /^application\/(?:connect\+(proto|json)|(proto|json))$/.exec(type) ?? [];
  if (stream !== undefined) return { enveloped: true, binary: stream === 'proto', text: false };
  return unary === undefined ? undefined : { enveloped: false, binary: unary === 'proto', text: false };
}

/** Throws the status that the call ends with. */
export async function* checkedBody(
  body: AsyncIterable<Buffer>,
  form: BodyForm,
  { method }: Pick<UniversalHandler, 'method'>,
  limitBytes: number,
): AsyncGenerator<Uint8Array> {
  const bytes = form.text ? fromBase64(body) : body;
  const check = (message: Uint8Array) => {
    if (!form.binary) return;
    try {
      fromBinary(method.input, message);
    } catch {
      throw invalid('', `The body is no ${method.input.typeName}`);
    }
  };
  if (!form.enveloped) return yield* wholeBody(bytes, check, limitBytes);
  const many = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';
  let count = 0;
  for await (const envelope of envelopes(bytes, limitBytes)) {
    count += 1;
    if (!many && count > 1) throw invalid('', 'More than one message was sent');
    check(envelope.subarray(HEAD_BYTES));
    yield envelope;
  }
  if (!many && count === 0) throw invalid('', 'No message was sent');
  return undefined;
}

async function* wholeBody(
  bytes: AsyncIterable<Buffer>,
  check: (message: Uint8Array) => void,
  limitBytes: number,
): AsyncGenerator<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of bytes) {
    length += chunk.length;
    if (length > limitBytes) throw tooLarge(limitBytes);
    chunks.push(chunk);
  }
  const message = Buffer.concat(chunks);
  check(message);
  yield message;
}

async function* envelopes(bytes: AsyncIterable<Buffer>, limitBytes: number): AsyncGenerator<Buffer> {
  let chunks: Buffer[] = [];
  let length = 0;
  let needed = HEAD_BYTES;
  for await (const chunk of bytes) {
    chunks.push(chunk);
    length += chunk.length;
    while (length >= needed) {
      const read = chunks.length === 1 ? (chunks[0] ?? chunk) : Buffer.concat(chunks);
      const size = sizeIn(read, limitBytes);
      if (read.length < size) {
        chunks = [read];
        needed = size;
        break;
      }
      yield read.subarray(0, size);
      chunks = [read.subarray(size)];
      length = read.length - size;
      needed = HEAD_BYTES;
    }
  }
  if (length > 0) throw invalid('', 'A message was cut off');
}

/** Of the first envelope, with its head. */
function sizeIn(read: Buffer, limitBytes: number): number {
  if (read[0] !== 0) throw invalid('', 'A message has flags that are not taken: it may not be compressed');
  const length = read.readUInt32BE(1);
  if (length > limitBytes) throw tooLarge(limitBytes);
  return HEAD_BYTES + length;
}

/** Each part of it may be padded. */
async function* fromBase64(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest = '';
  for await (const chunk of body) {
    const text = rest + chunk.toString('latin1');
    const whole = text.length - (text.length % 4);
    rest = text.slice(whole);
    for (const part of text.slice(0, whole).split(/(?<==)(?=[^=])/)) {
      if (part === '') continue;
      if (part.length % 4 !== 0 || !BASE64.test(part)) throw invalid('', 'The body is not in base64');
      yield Buffer.from(part, 'base64');
    }
  }
  if (rest !== '') throw invalid('', 'The body is not in base64');
}
