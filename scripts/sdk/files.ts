/** What `npm run sdk` writes, and the test that compares it with what is committed. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { shippedCatalogue } from '../../src/compose/features.ts';
import { projectRoot } from '../../src/project-root.ts';
import { type RawDocument, readDocument } from './document.ts';
import { pythonFiles } from './python.ts';
import { type ListedAction, typescriptFiles } from './typescript.ts';

const TYPESCRIPT = 'sdk/src/generated';
const PYTHON = 'sdk/python';

/** By path below the root of the checkout. */
export async function generatedFiles(): Promise<Map<string, string>> {
  const text = await readFile(path.join(projectRoot(), 'contracts/openapi.yaml'), 'utf8');
  const document = readDocument(parse(text) as RawDocument); // Our own document.
  const catalogue = shippedCatalogue();
  const actions = catalogue.list().map((listed) => {
    const { action_type: type } = listed as { action_type: string }; // As the API lists them.
    return { ...listed, literal: catalogue.literalFields(type) } as unknown as ListedAction; // JSON Schemas are objects.
  });
  const typescript = typescriptFiles(document, actions);
  return new Map([
    ...[...typescript].map(([name, content]) => [`${TYPESCRIPT}/${name}`, content] as const),
    ...[...pythonFiles(document)].map(([name, content]) => [`${PYTHON}/${name}`, content] as const),
  ]);
}
