/**
 * `npm run manifests`: writes the plain renderings of deploy/base, for who has only `kubectl apply -f`; with `--check` it ends
 * with code 1 when they are not what it would write.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { stringify } from 'yaml';
import { projectRoot } from '../src/project-root.ts';
import { renderKustomization } from './kustomize.ts';

const HEAD = `# Written from deploy/base by \`npm run manifests\`; a test compares them. What has to be there before, and that a Job of before has to be
# deleted first, is in docs/deployment.md.
`;
export const RENDERINGS = ['deploy/k8s/orchestrator.yaml', 'infra/k8s/orchestrator.yaml'];

export function plainRendering(): string {
  const documents = renderKustomization(path.join(projectRoot(), 'deploy', 'base'));
  return `${HEAD}${documents.map((document) => stringify(document, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n')}`;
}

if (process.argv[1] === import.meta.filename) {
  const text = plainRendering();
  for (const name of RENDERINGS) {
    const file = path.join(projectRoot(), name);
    if (process.argv.includes('--check')) {
      if (readFileSync(file, 'utf8') === text) continue;
      console.error(`${name} is not what deploy/base renders to: npm run manifests`);
      process.exitCode = 1;
    } else {
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
  }
}
