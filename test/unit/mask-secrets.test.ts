import { expect, test } from 'vitest';
import { maskOf, redactSecrets } from '../../src/domain/mask-secrets.ts';

test('a secret is masked wherever it stands, also base64, URL-encoded or escaped', () => {
  const secret = 'pa"ss wörd/+';
  const mask = maskOf([secret]);
  const spellings = [
    secret,
    encodeURIComponent(secret),
    Buffer.from(secret).toString('base64'),
    Buffer.from(secret).toString('base64url'),
    JSON.stringify({ key: secret }),
  ];
  for (const text of spellings) expect(mask(`before ${text} after`)).toMatch(/^before .*\*\*\*.* after$/);
  expect(mask('nothing here')).toBe('nothing here');
});

test('a secret that contains another leaves no rest, and a pattern of replacement is not read', () => {
  expect(maskOf(['abcd', 'abcdefgh'])('abcdefgh abcd')).toBe('*** ***');
  expect(maskOf(['$&$&'])('x $&$& y')).toBe('x *** y');
});

test('a very short secret is only masked as a whole', () => {
  expect(redactSecrets({ a: 'x', b: 'text', c: ['x'] }, ['x', ''])).toEqual({ a: '***', b: 'text', c: ['***'] });
});

test('values are copied with keys, numbers and depth handled, and the original is left alone', () => {
  const value = { 'key s3cret': 12345, list: [{ deep: 's3cret' }], other: 7 };
  const before = structuredClone(value);
  expect(redactSecrets(value, ['s3cret', '12345'])).toEqual({ 'key ***': '***', list: [{ deep: '***' }], other: 7 });
  expect(value).toEqual(before);
});
