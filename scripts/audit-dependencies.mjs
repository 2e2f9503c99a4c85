/**
 * Asks the registry for known faults of what runs in production. High and critical ones fail, others are named.
 * A registry that has no such service, or does not answer, is said and fails nothing: it knows nothing against us.
 */
import { spawnSync } from 'node:child_process';

const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
const { stdout } = spawnSync(npm, ['audit', '--omit=dev', '--json'], {
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
  shell: process.platform === 'win32',
  timeout: 60_000,
});
const report = read(stdout);
const found = Object.values(report?.vulnerabilities ?? {});
if (report?.vulnerabilities === undefined) console.log('audit: the registry does not answer; nothing was checked');
for (const { name, severity, range } of found) console.log(`audit: ${severity}: ${name} ${range}`);
if (report?.vulnerabilities !== undefined) console.log(`audit: ${found.length} known faults`);
process.exit(found.some(({ severity }) => severity === 'high' || severity === 'critical') ? 1 : 0);

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
