import { expect, test } from 'vitest';
import { parseQuantity } from '../../../src/schemas/kubernetes.ts';

test.each([
  ['1', 1],
  ['0.5', 0.5],
  ['250m', 0.25],
  ['1k', 1_000],
  ['1Ki', 1_024],
  ['512Mi', 536_870_912],
  ['1.5Gi', 1_610_612_736],
  ['2T', 2e12],
  ['1Ei', 2 ** 60],
  ['0', undefined],
  ['0.0Mi', undefined],
  ['-1', undefined],
  ['+1', undefined],
  ['', undefined],
  ['m', undefined],
  ['1 Gi', undefined],
  ['1KB', undefined],
  ['1e3', undefined],
  ['Infinity', undefined],
  ['9'.repeat(19), undefined],
])('the quantity %s is %s', (text, value) => {
  expect(parseQuantity(text)).toBe(value);
});
