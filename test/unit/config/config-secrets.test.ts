import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';

const KEY = Buffer.alloc(32, 7).toString('base64');
const OTHER = Buffer.alloc(32, 8).toString('base64');
let cwd = '';
beforeEach(() => {
  cwd = mkdtempSync(path.join(tmpdir(), 'config-secrets-'));
  mkdirSync(path.join(cwd, 'secrets'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

const load = (environment: Record<string, string>) =>
  loadConfig({ SECRETS_DIR: path.join(cwd, 'secrets'), ...environment }, { cwd });

test('the keys of secrets are a list, never shown, and hidden in logs', () => {
  const config = load({ SECRETS_KEY: `${KEY},${OTHER}` });
  expect(config.secretKeys).toEqual([KEY, OTHER]);
  expect(config.hidden).toEqual(expect.arrayContaining([KEY, OTHER]));
  expect(JSON.stringify(config.effective)).not.toContain(KEY);
  expect(load({}).secretKeys).toEqual([]);
});

test('they may be a file beside the secrets, which tasks cannot name', () => {
  writeFileSync(path.join(cwd, 'secrets', 'SECRETS_KEY'), `${KEY}\n`);
  writeFileSync(path.join(cwd, 'secrets', 'TOKEN'), 'of the file');
  const config = load({});
  expect(config.secretKeys).toEqual([KEY]);
  expect({ ...config.secrets }).toEqual({ TOKEN: 'of the file' });
  expect(config.hidden).toContain(KEY);
  expect(config.effective.settings['SECRETS_KEY']).toMatchObject({ value: '***', source: path.join(cwd, 'secrets') });
  expect(load({ SECRETS_KEY: OTHER }).secretKeys).toEqual([OTHER]);
});

test.each([KEY.slice(0, 40), 'a password', `${KEY},short`])('%j is no key, in whichever place', (text) => {
  expect(() => load({ SECRETS_KEY: text })).toThrow(/SECRETS_KEY must be .*base64 of 32 random bytes/);
  writeFileSync(path.join(cwd, 'secrets', 'SECRETS_KEY'), text);
  expect(() => load({})).toThrow(/SECRETS_KEY in .* must be .*base64 of 32 random bytes/);
});

test('secrets of the installation are for the tenant default, for those named, or for all', () => {
  expect(load({}).secretsShared).toEqual(['default']);
  expect(load({ SECRETS_SHARED: 'a,b' }).secretsShared).toEqual(['a', 'b']);
  expect(load({ SECRETS_SHARED: 'a,*' }).secretsShared).toBe('*');
});
