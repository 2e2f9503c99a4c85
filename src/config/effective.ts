/** The effective settings with their sources, fit to be shown: secrets are masked, URLs lose their credentials. */
import { MASK, maskUrlPasswords, redactSecrets, withoutCredentials } from '../domain/texts/mask-secrets.ts';
import type { EffectiveConfig, EffectiveSetting } from '../schemas/effective-config.ts';
import type { Json } from '../schemas/json.ts';
import type { Named } from './named-values.ts';
import { WITHOUT_EFFECT } from './older-names.ts';
import type { Found } from './read-settings.ts';
import type { Setting } from './settings/setting.ts';
import { VARIABLE_NAMES, VARIABLES, type Values, type VariableName } from './variables.ts';

const DERIVED: ReadonlyArray<[VariableName, VariableName]> = [
  ['REDIS_URL', 'REDIS_HOST'],
  ['RATE_LIMIT_PER_MINUTE', 'RATE_LIMITING_ENABLED'],
  ['EVENTS_STREAM', 'EVENT_STREAMING_ENABLED'],
];

export function effectiveSettings(read: {
  values: Values;
  found: ReadonlyMap<string, Found>;
  services: readonly Named[];
  secrets: readonly Named[];
  withoutEffect: readonly string[];
  hidden: readonly string[];
}): EffectiveConfig {
  const { values, found, hidden } = read;
  const settings = byName(
    VARIABLE_NAMES.map((name): [string, EffectiveSetting] => {
      const value = shownValue(name, values[name], hidden);
      return [name, { value, ...origin(name, found.get(name)) }];
    }),
  );
  // A value derived from another setting has the source of that setting.
  for (const [name, from] of DERIVED) {
    const setting = settings[name];
    if (setting?.source === 'default' && values[name] !== undefined)
      settings[name] = { ...setting, ...origin(name, found.get(from)) };
  }
  return {
    settings,
    services: byName(
      read.services.map((one) => [one.name, { url: String(shownJson(one.text, hidden)), ...origin('', one) }]),
    ),
    secrets: byName(read.secrets.map((one) => [one.name, origin(one.name, one)])),
    without_effect: byName(read.withoutEffect.map((name) => [name, WITHOUT_EFFECT[name] ?? ''])),
  };
}

function shownValue(name: VariableName, value: Values[VariableName], hidden: readonly string[]): Json {
  const { secret }: Setting = VARIABLES[name];
  if (value === undefined || (secret !== undefined && Array.isArray(value) && value.length === 0)) return null;
  if (secret === true) return MASK;
  if (secret === 'credentials') return withoutCredentials(String(value));
  return shownJson(value instanceof Map ? Object.fromEntries(value) : value, hidden);
}

function shownJson(value: unknown, hidden: readonly string[]): Json {
  const plain = JSON.stringify(value, (_key, item: unknown) => (typeof item === 'string' ? shownText(item) : item));
  return redactSecrets(JSON.parse(plain) as Json, hidden); // It has just been written.
}

function shownText(text: string): string {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? withoutCredentials(text) : maskUrlPasswords(text);
}

function origin(name: string, found: Found | undefined): { source: string; found_as?: string } {
  if (found === undefined) return { source: 'default' };
  const { spelling, file = 'environment' } = found;
  return { source: file, ...(spelling === name ? {} : { found_as: spelling }) };
}

function byName<T>(entries: ReadonlyArray<readonly [string, T]>): Record<string, T> {
  const record: Record<string, T> = Object.create(null);
  for (const [name, value] of entries) record[name] = value;
  return record;
}
