/** `npm run sdk`: writes what the SDKs have of contracts/openapi.yaml and of the action types. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { projectRoot } from '../src/project-root.ts';
import { generatedFiles } from './sdk/files.ts';

for (const [name, content] of await generatedFiles()) {
  const file = path.join(projectRoot(), name);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, content);
  console.log(name);
}
