/** The settings by the names of their variables. Each is also known as ORCHESTRATOR_<name>. */
import type { z } from 'zod';
import { SETTINGS } from './settings/all.ts';
import { type Setting, type SettingIn, settingsIn } from './settings/setting.ts';

type AnySetting = SettingIn<typeof SETTINGS>;
export type VariableName = AnySetting['name'];
export type Shape = { [S in AnySetting as S['name']]: S['schema'] };
/** What was read, by variable. */
export type Values = z.output<z.ZodObject<Shape>>;

const all = settingsIn(SETTINGS);

export const VARIABLE_NAMES: readonly VariableName[] = all.map(({ name }) => name);
export const VARIABLES = Object.fromEntries(all.map((setting) => [setting.name, setting])) as {
  [S in AnySetting as S['name']]: S;
}; // Each under its own name.

/** The names under which a variable is looked for, the first one wins. */
export function namesOf(name: VariableName): string[] {
  const { aliases = [] }: Setting = VARIABLES[name];
  return [name, `ORCHESTRATOR_${name}`, ...aliases];
}
