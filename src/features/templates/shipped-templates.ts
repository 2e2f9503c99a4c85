/** The templates that come with the program: one definition in each file below templates/, which is named as its template. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../project-root.ts';
import type { JsonObject } from '../../schemas/json.ts';

export const TEMPLATES_FOLDER = path.join(projectRoot(), 'templates');

export function readShippedTemplates(folder = TEMPLATES_FOLDER): Map<string, JsonObject> {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return new Map(
    files.sort().map((file) => {
      const body = JSON.parse(readFileSync(path.join(folder, file), 'utf8')) as JsonObject; // Ours; it is checked as a definition.
      return [path.basename(file, '.json'), body];
    }),
  );
}
