import { expect, test } from 'vitest';
import { searchWords } from '../../../../src/features/search/domain.ts';

test.each([
  ['Document  Analysis', ['document', 'analysis']],
  ["fetch_pr-data:* & !('x')", ['fetch', 'pr', 'data', 'x']],
  ['Grüße Ελλάδα 文書 v2', ['grüße', 'ελλάδα', '文書', 'v2']],
  ['Cafe\u0301 café', ['café']],
  ['a a A', ['a']],
  [' *&|!():<>\'"\\ ', []],
  ['', []],
])('the words of %j', (written, words) => {
  expect(searchWords(written)).toEqual(words);
});
