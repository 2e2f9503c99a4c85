import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createKeyring } from '../../src/engine/keyring.ts';
import type { Json } from '../../src/schemas/json.ts';
import {
  createPayloads,
  errorPayload,
  type Payload,
  type Payloads,
  parsePayload,
  payload,
  SEALED_KEY,
  textPayload,
} from '../../src/store/payloads.ts';

const key = () => randomBytes(32).toString('base64');
const OLD = key();
const NEW = key();
const payloadsOf = (seals: boolean, ...keys: string[]): Payloads => createPayloads(createKeyring(keys), seals, () => 0);
const sealing = payloadsOf(true, OLD);
const plain = payloadsOf(false);

/** As jsonb prints it: keys by length, then by their bytes; a space behind colons and commas. */
function printed(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(printed).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const bytes = (text: string) => Buffer.from(text);
  const keys = Object.keys(value).sort((a, b) => bytes(a).length - bytes(b).length || bytes(a).compare(bytes(b)));
  return `{${keys.map((name) => `${JSON.stringify(name)}: ${printed(value[name] ?? null)}`).join(', ')}}`;
}
const written = (value: Payload | null, { seal }: Payloads): string =>
  (seal === undefined ? value?.toPostgres() : value?.sealed(seal)) ?? 'null';
const kept = (value: Payload | null, by: Payloads): string => printed(JSON.parse(written(value, by)));

/** What it is without the differences that JSON does not tell. */
const json = fc.jsonValue().map((value): Json => JSON.parse(JSON.stringify(value)));
const withTheKey = fc
  .tuple(json, fc.dictionary(fc.string({ maxLength: 6 }), json))
  .map(([own, more]): Json => JSON.parse(JSON.stringify({ ...more, [SEALED_KEY]: own })));
const anything = fc.oneof(
  json,
  withTheKey,
  withTheKey.map((value): Json => ({ [SEALED_KEY]: [value] })),
);

describe('a payload', () => {
  test.each([
    ['plain', plain],
    ['sealed', sealing],
  ])('that is kept %s is read as it was written, whatever keys it has', (_, by) => {
    fc.assert(
      fc.property(anything, (value) => {
        expect(parsePayload(by, kept(payload(JSON.stringify(value)), by))).toEqual(value);
      }),
    );
  });

  test('without anything of the kind in it is written as it is', () => {
    for (const text of ['{"a":1}', '[]', 'null', '"$enc"', '{"a":{"$enc":"enc:v1:x"}}', '["$enc"]'])
      expect(payload(text)?.toPostgres()).toBe(text);
    expect(payload(null)).toBeNull();
    expect(textPayload('as it is')?.toPostgres()).toBe('as it is');
  });

  test('that is sealed shows nothing but the code of an error, where that is one', () => {
    const error = { code: 'upstream_error', message: 'planted', details: { of: 'planted' } };
    const stored = JSON.parse(written(errorPayload(JSON.stringify(error)), sealing));
    expect(stored).toEqual({ [SEALED_KEY]: expect.stringMatching(/^enc:v1:/), code: 'upstream_error' });
    expect(JSON.stringify(stored)).not.toContain('planted');
    expect(parsePayload(sealing, printed(stored))).toEqual(error);
    const odd = JSON.stringify({ ...error, code: 'code of planted' });
    expect(Object.keys(JSON.parse(written(errorPayload(odd), sealing)))).toEqual([SEALED_KEY]);
    expect(parsePayload(sealing, kept(errorPayload(odd), sealing))).toEqual(JSON.parse(odd));
  });

  test('of text is text in its column, or the text of an envelope, which cannot be pretended', () => {
    for (const text of ['said', '', '{"a":1}', '{"$enc":"enc:v1:x"}', '{"$enc":["own"]}', '{"$enc":']) {
      for (const by of [plain, sealing]) {
        const stored = written(textPayload(text), by);
        // What `readText` makes of it.
        const asJson = stored.startsWith('{"$enc":') ? stored : JSON.stringify(stored);
        expect(parsePayload(by, printed(JSON.parse(asJson)))).toBe(text);
      }
      expect(written(textPayload(text), sealing)).toMatch(/^\{"\$enc":"enc:v1:/);
    }
  });

  test('is read after the option is taken away, and beside one that is plain', () => {
    const stored = kept(payload('{"a":1}'), sealing);
    expect(parsePayload(payloadsOf(false, OLD), stored)).toEqual({ a: 1 });
    expect(parsePayload(sealing, '{"a": 1}')).toEqual({ a: 1 });
  });

  test('of a key that is not there says so, and one that was changed is no garbage', () => {
    const stored = kept(payload('{"a":1}'), sealing);
    for (const without of [plain, payloadsOf(true, NEW)])
      expect(() => parsePayload(without, stored)).toThrowError(
        expect.objectContaining({ name: 'UnreadablePayload', code: 'payload_key_missing' }),
      );
    const damaged = stored.replace(/..."}$/, 'xxx"}');
    expect(() => parsePayload(sealing, damaged)).toThrowError(expect.objectContaining({ code: 'payload_unreadable' }));
  });
});

describe('the data key of many values', () => {
  const ring = createKeyring([OLD]);
  const wrappedOf = (envelope: string | undefined) => envelope?.split(':')[3];

  test('is one for a day and a million values, and the values differ all the same', () => {
    let nowMs = 0;
    const seal = ring?.sealer(['of'], () => nowMs);
    const [one, two] = [seal?.('same'), seal?.('same')];
    expect(wrappedOf(one)).toBe(wrappedOf(two));
    expect(one).not.toBe(two);
    nowMs = 24 * 60 * 60 * 1000;
    const next = seal?.('same');
    expect(wrappedOf(next)).not.toBe(wrappedOf(one));
    const open = ring?.opener(['of']);
    expect([one, two, next].map((envelope) => open?.(envelope ?? ''))).toEqual(['same', 'same', 'same']);
    expect(ring?.open(one ?? '', ['of'])).toBe('same');
    expect(() => ring?.opener(['other'])(one ?? '')).toThrowError(/something else/);
  });

  test('moves to a newer key with every value as it is', () => {
    const envelope = ring?.sealer(['of'], () => 0)('value') ?? '';
    const moved = createKeyring([NEW, OLD])?.rewrap(envelope, ['of']) ?? '';
    expect(moved.split(':')[4]).toBe(envelope.split(':')[4]);
    expect(createKeyring([NEW])?.opener(['of'])(moved)).toBe('value');
  });
});
