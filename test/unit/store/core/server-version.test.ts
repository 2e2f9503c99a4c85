import { expect, test } from 'vitest';
import { judgeServerVersion, requireSupported, UnsupportedServer } from '../../../../src/store/core/server-version.ts';

test.each([
  ['90624', 'PostgreSQL 9.6 is not supported: PostgreSQL 14 to 18 is needed.'],
  ['130023', 'PostgreSQL 13.23 is not supported: PostgreSQL 14 to 18 is needed.'],
])('a server of version %s is rejected in one sentence', (number, sentence) => {
  expect(judgeServerVersion(number)).toEqual({ supported: false, sentence });
  expect(() => requireSupported({ version: number })).toThrow(new UnsupportedServer(sentence));
});

test.each([
  ['140000', 'PostgreSQL 14.0'],
  ['150018', 'PostgreSQL 15.18'],
  ['180004', 'PostgreSQL 18.4'],
])('a server of version %s is supported', (number, version) => {
  expect(judgeServerVersion(number)).toEqual({ supported: true, version });
  expect(() => requireSupported({ version: number })).not.toThrow();
});

test('one that is newer than all that were tried is used, with a warning', () => {
  expect(judgeServerVersion('190001')).toEqual({
    supported: true,
    version: 'PostgreSQL 19.1',
    warning: 'PostgreSQL 19.1 is newer than every version that this program was tested on (14 to 18)',
  });
});

test.each([[null], [undefined], [''], ['unknown']])('an unknown version (%j) is a warning', (told) => {
  expect(judgeServerVersion(told)).toMatchObject({
    supported: true,
    warning: 'the server does not tell its version: PostgreSQL 14 to 18 is supported',
  });
});
