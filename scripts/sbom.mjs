/**
 * The bill of materials of what runs in production, as CycloneDX JSON: `node scripts/sbom.mjs [file]`. npm writes it from
 * the lock file. Its own `--omit=dev` also leaves out what a development tool happens to use too, so that is done here.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const [, , target = 'sbom.cdx.json'] = process.argv;
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
const { stdout, stderr, status } = spawnSync(npm, ['sbom', '--sbom-format=cyclonedx', '--package-lock-only'], {
  encoding: 'utf8',
  maxBuffer: 64 * 1024 * 1024,
  shell: process.platform === 'win32',
});
if (status !== 0) fail(`npm sbom failed:\n${stderr.slice(0, 2_000)}`);

const bill = JSON.parse(stdout);
const components = bill.components.filter((component) => !isForDevelopment(component));
const kept = new Set([bill.metadata.component['bom-ref'], ...components.map((component) => component['bom-ref'])]);
const dependencies = bill.dependencies
  .filter(({ ref }) => kept.has(ref))
  .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((other) => kept.has(other)) }));

const listed = new Set(components.map(({ purl }) => decodeURIComponent(purl.split('?')[0])));
const missing = Object.entries(read('package.json').dependencies).filter(
  ([name, version]) => !listed.has(`pkg:npm/${name}@${version}`),
);
if (missing.length > 0) fail(`The bill leaves out ${missing.map(([name]) => name).join(', ')}.`);
writeFileSync(target, `${JSON.stringify({ ...bill, components, dependencies }, null, 2)}\n`);
console.log(`${target}: ${components.length} components, CycloneDX ${bill.specVersion}`);

function isForDevelopment({ properties = [] }) {
  return properties.some(({ name, value }) => name === 'cdx:npm:package:development' && value === 'true');
}

function read(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
