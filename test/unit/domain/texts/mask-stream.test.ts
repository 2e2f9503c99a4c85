import fc from 'fast-check';
import { expect, test } from 'vitest';
import { maskOf } from '../../../../src/domain/texts/mask-secrets.ts';
import { endOfCharacter, maskText } from '../../../../src/domain/texts/mask-stream.ts';

const SECRETS = ['s3cr3t-value', 'value-of-another'];

test('a secret is masked wherever the text is cut, and nothing else is lost or buffered for ever', () => {
  const word = fc.constantFrom(
    'a ',
    'value',
    's3cr3t',
    '-',
    's3cr3t-value',
    'value-of-another',
    's3cr3t-value-of-another',
    'ö',
  );
  const pieces = fc.array(fc.tuple(word, fc.boolean(), fc.nat(9)), { maxLength: 30 });
  fc.assert(
    fc.property(pieces, (all) => {
      const text = all.map(([piece]) => piece).join('');
      const stream = maskText(SECRETS);
      let shown = '';
      for (const [piece, take, cut] of all) {
        stream.add(piece.slice(0, cut));
        if (take) shown += stream.take(false);
        stream.add(piece.slice(cut));
      }
      shown += stream.take(true);
      for (const secret of SECRETS) expect(shown).not.toContain(secret);
      expect(stream.size()).toBe(0);
      // Where secrets overlap the positions of the masks may differ, but not what is left of the rest.
      const rest = (masked: string) => masked.replaceAll('***', '');
      if (!text.includes('s3cr3t-value-of-another')) expect(shown).toBe(maskOf(SECRETS)(text));
      else expect(rest(shown).length).toBeLessThanOrEqual(rest(text).length);
    }),
  );
});

test('without secrets everything is shown at once, but half a character', () => {
  const stream = maskText([]);
  stream.add('abc\ud83d');
  expect(stream.take(false)).toBe('abc');
  stream.add('\ude00');
  expect(stream.take(false)).toBe('😀');
  expect(endOfCharacter('a😀', 2)).toBe(1);
  expect(endOfCharacter('a😀', 9)).toBe(3);
});
