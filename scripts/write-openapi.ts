/** `npm run openapi`: writes contracts/openapi.yaml, the document that the service serves. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { operationsOf } from '../src/compose/features.ts';
import { apiDocumentYaml } from '../src/http/server/docs.ts';
import { projectRoot } from '../src/project-root.ts';

const API_OPERATIONS = await operationsOf();

const { version } = JSON.parse(await readFile(path.join(projectRoot(), 'package.json'), 'utf8')) as { version: string };
const file = path.join(projectRoot(), 'contracts', 'openapi.yaml');
await mkdir(path.dirname(file), { recursive: true });
await writeFile(file, apiDocumentYaml(API_OPERATIONS, version));
console.log(path.relative(process.cwd(), file));
