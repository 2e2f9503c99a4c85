import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createKeyring } from '../../../src/engine/keyring.ts';
import type { Json } from '../../../src/schemas/json.ts';
import { openRow } from '../../../src/store/core/payload-client.ts';
import {
  createPayloads,
  errorPayload,
  PAYLOAD_CONTEXT,
  type Payload,
  type Payloads,
  parsePayload,
  payload,
  SEALED_KEY,
  storedPayload,
  textPayload,
} from '../../../src/store/payloads/payloads.ts';

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
const storedText = (value: Payload | null, by: Payloads): string => printed(JSON.parse(written(value, by)));

/** What it is without the differences that JSON does not show. */
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
  ])('that is stored %s is read as it was written, whatever keys it has', (_, by) => {
    fc.assert(
      fc.property(anything, (value) => {
        expect(parsePayload(by, storedText(payload(JSON.stringify(value), 't'), by), 't')).toEqual(value);
      }),
    );
  });

  test('without anything of the kind in it is written as it is', () => {
    for (const text of ['{"a":1}', '[]', 'null', '"$enc"', '{"a":{"$enc":"enc:v1:x"}}', '["$enc"]'])
      expect(payload(text, 't')?.toPostgres()).toBe(text);
    expect(payload(null, 't')).toBeNull();
    expect(textPayload('as it is', 't')?.toPostgres()).toBe('as it is');
  });

  test('that is sealed shows nothing but the code of an error, where that is one', () => {
    const error = { code: 'upstream_error', message: 'planted', details: { of: 'planted' } };
    const stored = JSON.parse(written(errorPayload(JSON.stringify(error), 't'), sealing));
    expect(stored).toEqual({ [SEALED_KEY]: expect.stringMatching(/^enc:v1:/), code: 'upstream_error' });
    expect(JSON.stringify(stored)).not.toContain('planted');
    expect(parsePayload(sealing, printed(stored), 't')).toEqual(error);
    const odd = JSON.stringify({ ...error, code: 'code of planted' });
    expect(Object.keys(JSON.parse(written(errorPayload(odd, 't'), sealing)))).toEqual([SEALED_KEY]);
    expect(parsePayload(sealing, storedText(errorPayload(odd, 't'), sealing), 't')).toEqual(JSON.parse(odd));
  });

  test('of text is text in its column, or the text of an envelope, which cannot be pretended', () => {
    for (const text of ['said', '', '{"a":1}', '{"$enc":"enc:v1:x"}', '{"$enc":["own"]}', '{"$enc":']) {
      for (const by of [plain, sealing]) {
        const stored = written(textPayload(text, 't'), by);
        // What `readText` makes of it.
        const asJson = stored.startsWith('{"$enc":') ? stored : JSON.stringify(stored);
        expect(parsePayload(by, printed(JSON.parse(asJson)), 't')).toBe(text);
      }
      expect(written(textPayload(text, 't'), sealing)).toMatch(/^\{"\$enc":"enc:v1:/);
    }
  });

  test('is read after the option is taken away, and beside one that is plain', () => {
    const stored = storedText(payload('{"a":1}', 't'), sealing);
    expect(parsePayload(payloadsOf(false, OLD), stored, 't')).toEqual({ a: 1 });
    expect(parsePayload(sealing, '{"a": 1}', 't')).toEqual({ a: 1 });
  });

  test('of a key that is not there says so, and one that was changed is no garbage', () => {
    const stored = storedText(payload('{"a":1}', 't'), sealing);
    for (const without of [plain, payloadsOf(true, NEW)])
      expect(() => parsePayload(without, stored, 't')).toThrowError(
        expect.objectContaining({ name: 'UnreadablePayload', code: 'payload_key_missing' }),
      );
    const damaged = stored.replace(/..."}$/, 'xxx"}');
    expect(() => parsePayload(sealing, damaged, 't')).toThrowError(
      expect.objectContaining({ code: 'payload_unreadable' }),
    );
  });
});

describe('a payload that was moved', () => {
  const stored = (tenantId: string | undefined) => storedText(payload('{"a":1}', tenantId), sealing);
  const rejected = expect.objectContaining({ name: 'UnreadablePayload', code: 'payload_unreadable' });

  test('to another tenant is refused, where the connection or the row says whose it is', () => {
    expect(parsePayload(sealing, stored('one'), 'one')).toEqual({ a: 1 });
    expect(() => parsePayload(sealing, stored('one'), 'other')).toThrowError(rejected);
    const row = (tenant_id: string) => ({ tenant_id, plain: 'x', none: null, output: storedPayload(stored('one')) });
    const own = row('one');
    openRow(sealing, own, undefined);
    expect(own).toEqual({ tenant_id: 'one', plain: 'x', none: null, output: { a: 1 } });
    expect(() => openRow(sealing, row('other'), undefined)).toThrowError(rejected);
    const asTheModel = { tenantId: 'other', output: storedPayload(stored('one')) };
    expect(() => openRow(sealing, asTheModel, undefined)).toThrowError(rejected);
    // A row cannot talk a connection out of whom it serves.
    expect(() => openRow(sealing, row('one'), 'other')).toThrowError(rejected);
    const nobodys = { output: storedPayload(stored('one')) };
    openRow(sealing, nobodys, undefined);
    expect(nobodys).toEqual({ output: { a: 1 } });
  });

  test('is rejected also when what it says of its owner is changed or taken away', () => {
    const envelope: string = JSON.parse(stored('one'))[SEALED_KEY];
    const head = envelope.slice(0, envelope.lastIndexOf(':'));
    const claims = (owner: string) => `${head}:${Buffer.from(owner).toString('base64url')}`;
    expect(claims('one')).toBe(envelope);
    for (const forged of [head, `${head}:`, claims('other'), `${envelope}:x`]) {
      const text = printed({ [SEALED_KEY]: forged });
      expect(() => parsePayload(sealing, text, 'other')).toThrowError(rejected);
      expect(() => parsePayload(sealing, text, undefined)).toThrowError(rejected);
    }
  });

  test('is read when it is from before owners were stored, and moves to a newer key with its owner', () => {
    expect(parsePayload(sealing, stored(undefined), 'one')).toEqual({ a: 1 });
    const before: string = JSON.parse(stored('one'))[SEALED_KEY];
    const moved = createKeyring([NEW, OLD])?.rewrap(before, PAYLOAD_CONTEXT) ?? '';
    const text = printed({ [SEALED_KEY]: moved });
    expect(parsePayload(payloadsOf(true, NEW), text, 'one')).toEqual({ a: 1 });
    expect(() => parsePayload(payloadsOf(true, NEW), text, 'other')).toThrowError(rejected);
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
