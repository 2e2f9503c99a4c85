/** `npm run configuration-page`: writes docs/configuration.md from the tables of settings. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { WITHOUT_EFFECT } from '../src/config/older-names.ts';
import type { Setting } from '../src/config/settings/setting.ts';
import { OLDER_KEYS } from '../src/config/sources.ts';
import { allowedBy } from '../src/config/types.ts';
import { namesOf, VARIABLE_NAMES, VARIABLES } from '../src/config/variables.ts';
import { projectRoot } from '../src/project-root.ts';

const HEAD = `# Configuration

Written from the tables in \`src/config/settings\` by \`npm run configuration-page\`; a test compares the two.

A setting is read from these sources, and the first one that has it wins:

1. the environment;
2. \`.env\`, in the folder where the service is started or one folder up;
3. \`config/orchestrator.yaml\`;
4. \`config/app.yaml\`, its sections \`services\`, \`redis\` and \`orchestrator\`;
5. the default.

Within one source the name itself wins over its other names. An empty string counts as not set. A list is JSON (\`["a","b"]\`) or comma-separated. Everything is validated at start; all errors are reported at once, each with the source, the name, the value (never that of a secret) and the allowed values. \`GET /config/effective\` shows the effective settings and their sources.

In \`config/orchestrator.yaml\` every setting may be given by its name in lower case (\`worker_concurrency: 20\`); some have a key of the older file as well. An unknown key there is an error. This is a complete file:

\`\`\`yaml
services: {host: 127.0.0.1, port: 8000}
monitoring: {log_level: info}
worker_concurrency: 20
retention_days: 90
doc_store_url: http://doc-store:5087
\`\`\`

\`<NAME>_URL\` with an http(s) URL, for any other name, is a service that \`service_call\` finds as \`<name>\`; \`SECRET_<NAME>\` is available to templates as \`{{secrets.<NAME>}}\`.

## Settings

| name | other names | key in the YAML file | default | allowed | meaning |
| --- | --- | --- | --- | --- | --- |
`;

const OLDER = `
## Accepted, without effect

Settings of the older services that are accepted so that their files and environments can be used as they are. Those that are set are named in the log at start (\`config.without_effect\`) and in \`GET /config/effective\`.

| name | key in the YAML file | why |
| --- | --- | --- |
`;

export function configurationPage(): string {
  const settings = VARIABLE_NAMES.map((name) => {
    const { secret, default: initial, schema, description }: Setting = VARIABLES[name];
    const others = namesOf(name).filter((other) => other !== name);
    const meaning = secret === undefined ? description : `${description} ${SHOWN[String(secret)]}`;
    const standard = initial === undefined || initial === '' ? '' : code(initial);
    return row([code(name), others.map(code).join(', '), keysOf(name), standard, allowedBy(schema), meaning]);
  });
  const older = Object.entries(WITHOUT_EFFECT).map(([name, why]) =>
    row([`${code(name)}, ${code(`ORCHESTRATOR_${name}`)}`, keysOf(name), why]),
  );
  return [HEAD, ...settings, OLDER, ...older].join('');
}

const SHOWN: Readonly<Record<string, string>> = { true: 'Never shown.', credentials: 'Shown without its credentials.' };

function keysOf(name: string): string {
  return Object.entries(OLDER_KEYS)
    .flatMap(([section, keys]) => Object.entries(keys).map(([key, setting]) => ({ key: `${section}.${key}`, setting })))
    .filter(({ setting }) => setting === name)
    .map(({ key }) => code(key))
    .join(', ');
}

function code(text: string): string {
  return `\`${text}\``;
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
}

if (process.argv[1] === import.meta.filename)
  writeFileSync(path.join(projectRoot(), 'docs', 'configuration.md'), configurationPage());
