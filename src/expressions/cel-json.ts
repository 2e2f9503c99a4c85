/** JSON to CEL values and back. JSON has one kind of number, CEL two: what is integral becomes an int. */
import { type CelInput, type CelValue, celType, isCelList, isCelMap, isCelType, isCelUint } from '@bufbuild/cel';
import type { Json } from '../schemas/json.ts';

const MAX_DEPTH = 100;

export function toCel(value: Json): CelInput {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(toCel);
  // A map and not an object: a key such as `__proto__` is data.
  return new Map(Object.entries(value).map(([key, item]) => [key, toCel(item)]));
}

/** Throws for what JSON cannot represent; the messages are shown to users. */
export function toJson(value: CelValue, depth = 0): Json {
  if (depth > MAX_DEPTH) throw new Error(`the result is nested deeper than ${MAX_DEPTH}`);
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'bigint':
      return safeNumber(value);
    case 'number':
      if (!Number.isFinite(value)) throw new Error('the result holds a number that is not finite');
      return value;
    case 'object':
      break;
    default:
      throw new Error('the result holds a value that JSON does not have');
  }
  if (value === null) return null;
  if (isCelUint(value)) return safeNumber(value.value);
  if (isCelList(value)) return [...value].map((item) => toJson(item, depth + 1));
  if (isCelMap(value)) {
    return Object.fromEntries([...value].map(([key, item]) => [keyText(key), toJson(item, depth + 1)]));
  }
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  if (isCelType(value)) return value.name;
  return messageText(celType(value).name, value.message);
}

function safeNumber(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number))
    throw new Error(`the result holds the integer ${value}, which JSON cannot hold exactly`);
  return number;
}

function keyText(key: unknown): string {
  return isCelUint(key) ? String(key.value) : String(key);
}

function messageText(type: string, message: unknown): Json {
  const { seconds, nanos } = message as { seconds: bigint; nanos: number }; // Both types below have these fields.
  if (type === 'google.protobuf.Timestamp') {
    return new Date(Number(seconds) * 1000 + Math.floor(nanos / 1_000_000)).toISOString();
  }
  if (type === 'google.protobuf.Duration') return durationText(seconds, nanos);
  throw new Error(`the result holds a ${type}, which JSON does not have`);
}

/** As protobuf's JSON writes it: `3.5s`, `-0.25s`. */
function durationText(seconds: bigint, nanos: number): string {
  const sign = seconds < 0n || nanos < 0 ? '-' : '';
  const absolute = seconds < 0n ? -seconds : seconds;
  const fraction = nanos === 0 ? '' : `.${String(Math.abs(nanos)).padStart(9, '0').replace(/0+$/, '')}`;
  return `${sign}${absolute}${fraction}s`;
}
