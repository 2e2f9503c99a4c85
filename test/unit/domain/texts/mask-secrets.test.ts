import { expect, test } from 'vitest';
import { maskOf, maskOfExcerpt, redactSecrets } from '../../../../src/domain/texts/mask-secrets.ts';

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

test.each([0, 1, 2])('a secret inside longer text that is base64 as a whole is masked, at offset %i', (offset) => {
  const secret = 'a-token-of-some-length';
  for (const encoding of ['base64', 'base64url'] as const) {
    const text = Buffer.from(`${'x'.repeat(9 + offset)}${secret} and more`).toString(encoding);
    const masked = maskOf([secret])(text);
    expect(masked).toMatch(/^\S+\*\*\*\S+$/);
    // What is left decodes to less than a character of it at each end.
    expect(Buffer.from(masked.split('***')[0] ?? '', 'base64').toString('latin1')).not.toContain('a-');
  }
});

test('a secret is masked as hex, in forms, in JSON in JSON, in ASCII JSON and in HTML', () => {
  const secret = 'pä"s <w>&\'d/\\+ (1)';
  const mask = maskOf([secret]);
  const bytes = Buffer.from(secret);
  const spellings = [
    bytes.toString('hex'),
    bytes.toString('hex').toUpperCase(),
    new URLSearchParams({ a: secret }).toString().slice(2),
    encodeURIComponent(secret).toLowerCase().replace('pä', 'p%c3%a4'),
    JSON.stringify(JSON.stringify(secret)).slice(1, -1),
    JSON.stringify(JSON.stringify(JSON.stringify(JSON.stringify(secret)))),
    JSON.stringify(secret).replaceAll('ä', '\\u00e4'),
    'pä&quot;s &lt;w&gt;&amp;&#39;d/\\+ (1)',
  ];
  for (const text of spellings) expect(mask(`before ${text} after`)).toMatch(/^before [^\w*]*\*\*\*[^\w*]* after$/);
});

test('the lines of a long secret are secrets too', () => {
  const pem = '-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nshort\n-----END KEY-----\n';
  expect(maskOf([pem])('line MIIEvQIBADANBgkqhkiG9w0B of it')).toBe('line *** of it');
});

test('an excerpt that ends within a secret shows nothing of its start', () => {
  const mask = maskOfExcerpt(['correct-horse-battery-staple']);
  expect(mask('the service answered 400: correct-horse-batt')).toBe('the service answered 400: ***');
  expect(mask('it ends with the word corre')).toBe('it ends with the word corre');
  expect(mask('correct-horse-battery-staple, as always')).toBe('***, as always');
});
