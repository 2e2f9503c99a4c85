import fc from 'fast-check';
import { expect, test } from 'vitest';
import { makeStorable } from '../../../../src/domain/runs/storable.ts';

const text = fc.string({
  unit: fc.oneof(fc.constantFrom('\0', '\ud800', '\udc00', '😀', '"', '\\'), fc.string({ minLength: 1, maxLength: 1 })),
});
const anything = fc.oneof(
  fc.anything({
    key: text,
    values: [text, fc.double(), fc.boolean(), fc.constant(null), fc.constant(undefined)],
    withDate: true,
    withMap: true,
    withTypedArray: true,
    withSparseArray: true,
    withNullPrototype: true,
    withBigInt: true,
  }),
  fc.object({ key: text, values: [text, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean()] }),
);

function* textsIn(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) {
      yield key;
      yield* textsIn(item);
    }
  }
}

test('whatever an adapter returns is refused, or becomes JSON that PostgreSQL takes', () => {
  fc.assert(
    fc.property(anything, (value) => {
      const result = makeStorable(value, { maxBytes: 100_000 });
      if (!result.ok) return;
      const again = JSON.parse(result.json);
      expect(JSON.stringify(again)).toBe(result.json);
      for (const each of textsIn(again)) expect(each).not.toMatch(/\0|\p{Surrogate}/u);
      expect(makeStorable(again, { maxBytes: 100_000 })).toEqual(result);
    }),
    { numRuns: 2_000 },
  );
});

test('ordinary JSON is stored as JSON.stringify writes it', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const written = JSON.stringify(value);
      expect(makeStorable(value, { maxBytes: 1_000_000 })).toEqual({ ok: true, json: written });
      const bytes = Buffer.byteLength(written);
      expect(makeStorable(value, { maxBytes: bytes }).ok).toBe(true);
      expect(makeStorable(value, { maxBytes: bytes - 1 })).toMatchObject({ ok: false, code: 'output_too_large' });
    }),
    { numRuns: 1_000 },
  );
});
