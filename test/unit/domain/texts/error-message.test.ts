import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { errorMessage, storedMessage } from '../../../../src/domain/texts/error-message.ts';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));

test('anything that is thrown has words', () => {
  expect(errorMessage(new RangeError('too far'))).toBe('too far');
  expect([errorMessage('just a text'), errorMessage(undefined), errorMessage(7)]).toEqual([
    'just a text',
    'undefined',
    '7',
  ]);
});

test('nobody finds them in another way', () => {
  const copies = ['src', 'workers']
    .flatMap((folder) =>
      readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((name) =>
        path.posix.join(folder, name),
      ),
    )
    .filter((file) => file.endsWith('.ts') && !file.includes('/generated/'))
    .filter((file) =>
      /(\w+) instanceof Error \? \1\.message : String\(\1\)/.test(readFileSync(path.join(ROOT, file), 'utf8')),
    );
  expect(copies).toEqual(['src/domain/texts/error-message.ts']);
});

test.each([
  ['words', 'words'],
  [{ message: 'no' }, 'no'],
  [{ message: 7 }, undefined],
  [['no'], undefined],
  [null, undefined],
])('the message of the stored error %j is %j', (error, message) => {
  expect(storedMessage(error)).toBe(message);
});
