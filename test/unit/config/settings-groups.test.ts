/** Groups of settings are merged by their places: two groups with one place would hide each other's settings. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { type Group, type Setting, settingsIn } from '../../../src/config/settings/setting.ts';
import { VARIABLE_NAMES } from '../../../src/config/variables.ts';
import { projectRoot } from '../../../src/project-root.ts';

const folder = path.join(projectRoot(), 'src/config/settings');

test('every setting of every group is in the table', async () => {
  const files = readdirSync(folder).filter((file) => !['all.ts', 'setting.ts'].includes(file));
  const modules = await Promise.all(files.map((file) => import(path.join(folder, file))));
  const groups = modules.flatMap((module: Record<string, unknown>) =>
    Object.values(module).filter((value): value is Group => typeof value === 'object' && value !== null),
  );
  expect(groups.length).toBeGreaterThanOrEqual(files.length);
  const names = groups.flatMap((group) => (settingsIn(group) as Setting[]).map(({ name }) => name));
  expect(names.toSorted()).toEqual(VARIABLE_NAMES.toSorted());
});
