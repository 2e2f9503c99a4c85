import { expect, test } from 'vitest';
import { replaceOnce } from '../../support/faults/mutants.ts';

test('a mutation that fits nowhere, or in two places, is refused', () => {
  expect(replaceOnce('a b c', 'b', 'x', 'file')).toBe('a x c');
  expect(() => replaceOnce('a b c', 'd', 'x', 'file')).toThrow("'d' fits 0 times in file");
  expect(() => replaceOnce('a b b', 'b', 'x', 'file')).toThrow("'b' fits 2 times in file");
});
