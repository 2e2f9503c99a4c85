/** Reads the settings from all sources and reports everything that is wrong with them at once. */
import { z } from 'zod';
import { MASK, maskUrlPasswords } from '../domain/texts/mask-secrets.ts';
import { didYouMean } from '../schemas/nearest.ts';
import { WITHOUT_EFFECT } from './older-names.ts';
import type { Setting } from './settings/setting.ts';
import type { Source } from './sources.ts';
import { namesOf, type Shape, VARIABLE_NAMES, VARIABLES, type Values, type VariableName } from './variables.ts';

/** Where a setting was found. */
export interface Found {
  text: string;
  /** As it is spelled there. */
  spelling: string;
  /** Undefined: in the environment itself. */
  file: string | undefined;
}

const schema = z.object(Object.fromEntries(VARIABLE_NAMES.map((name) => [name, VARIABLES[name].schema])) as Shape); // One schema per name.

const MAX_SHOWN = 100;

/** Adds what is wrong to `faults`. */
export function readSettings(
  sources: readonly Source[],
  faults: string[],
): { values: Values | undefined; found: Map<string, Found> } {
  const found = new Map<string, Found>();
  const texts = Object.fromEntries(
    VARIABLE_NAMES.map((name) => {
      const here = find(sources, namesOf(name));
      if (here !== undefined) found.set(name, here);
      const variable: Setting = VARIABLES[name];
      return [name, here?.text ?? variable.default];
    }),
  );
  faults.push(...unknownNames(sources));
  const { data, error } = schema.safeParse(texts);
  for (const issue of error?.issues ?? []) {
    const name = VARIABLE_NAMES.find((candidate) => candidate === issue.path[0]);
    const here = name === undefined ? undefined : found.get(name);
    if (name === undefined || here === undefined) throw new Error(`the default of ${String(name)}: ${issue.message}`);
    faults.push(`${labelOf(here)} ${issue.message}, not ${shown(VARIABLES[name], here.text)}.`);
  }
  return { values: data, found };
}

export function find(sources: readonly Source[], candidates: readonly string[]): Found | undefined {
  for (const { file, values, spellings } of sources) {
    for (const name of candidates) {
      const text = Object.hasOwn(values, name) ? values[name] : undefined;
      // Container files often pass a variable that is not set as an empty text.
      if (text !== undefined && text.trim() !== '') return { text, spelling: spellings?.[name] ?? name, file };
    }
  }
  return undefined;
}

/** Says under which name a setting was found, or its own name. */
export type Label = (name: VariableName) => string;

export function labelsOf(found: ReadonlyMap<string, Found>): Label {
  return (name) => {
    const here = found.get(name);
    return here === undefined ? name : labelOf(here);
  };
}

function labelOf({ spelling, file }: Found): string {
  return file === undefined ? spelling : `${spelling} (${file})`;
}

export const RESERVED: ReadonlySet<string> = new Set([
  ...VARIABLE_NAMES.flatMap(namesOf),
  ...Object.keys(WITHOUT_EFFECT).flatMap((name) => [name, `ORCHESTRATOR_${name}`]),
  'TEST_REDIS_URL',
  'TEST_DATABASE_URL',
]);

/** An environment has the variables of other programs too; our files have only settings, services and secrets. */
function unknownNames(sources: readonly Source[]): string[] {
  return sources
    .filter(({ closed }) => closed === true)
    .flatMap(({ file, values, spellings }) =>
      Object.keys(values)
        .filter((name) => !RESERVED.has(name) && !/_URL$|^SECRET_./.test(name))
        .map((name) => {
          const spelling = spellings?.[name] ?? name;
          return `${spelling} (${file}) is no setting${didYouMean(spelling.replace(/^.*\./, ''), lowerCase)}.`;
        }),
    );
}

const lowerCase = VARIABLE_NAMES.map((name) => name.toLowerCase());

/** A text that may be a password is not repeated. */
function shown({ secret }: Setting, text: string): string {
  return secret === undefined ? JSON.stringify(maskUrlPasswords(text).slice(0, MAX_SHOWN)) : JSON.stringify(MASK);
}
