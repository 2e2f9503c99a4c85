/** The values that must never appear in a log. */
import type { Setting } from './settings/setting.ts';
import { VARIABLE_NAMES, VARIABLES, type Values } from './variables.ts';

/** `secrets` are those of the tasks. */
export function hiddenValues(values: Values, secrets: readonly string[]): string[] {
  const own = VARIABLE_NAMES.flatMap((name) => {
    const { secret }: Setting = VARIABLES[name];
    return secret === true ? textsIn(values[name]) : [];
  });
  const passwords = VARIABLE_NAMES.flatMap((name) => {
    const { secret }: Setting = VARIABLES[name];
    return secret === 'credentials' ? textsIn(values[name]).flatMap(passwordsIn) : [];
  });
  return [...new Set([...own, ...passwords, ...secrets])].filter((secret) => secret !== '');
}

function textsIn(value: Values[keyof Values]): string[] {
  if (value === undefined) return [];
  if (value instanceof Map) return [...value.values()].flat().map(String);
  return [value].flat().map(String);
}

/** As it is written in the URL and as it is meant. */
function passwordsIn(url: string): string[] {
  if (!URL.canParse(url)) return [];
  const { password } = new URL(url);
  try {
    return [password, decodeURIComponent(password)];
  } catch {
    return [password];
  }
}
