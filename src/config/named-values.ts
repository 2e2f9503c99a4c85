/** Values with user-defined names: services (`<NAME>_URL`, SERVICES) and secrets (SECRET_<NAME>, the files of SECRETS_DIR). */
import { type Found, RESERVED } from './read-settings.ts';
import { readSecretFiles, type Source } from './sources.ts';
import { VARIABLES, type Values } from './variables.ts';

/** The encryption key may be a file beside the secrets; tasks cannot name it. */
const KEY_FILE = 'SECRETS_KEY';

export type Named = Found & { name: string };

/** lower_snake name -> where its URL was found; SERVICES wins over `<NAME>_URL`. */
export function findServices(
  listed: Values['SERVICES'],
  sources: readonly Source[],
  all: Found | undefined,
): Map<string, Named> {
  const services = new Map<string, Named>();
  for (const { values: layer, file, spellings } of [...sources].reverse()) {
    for (const [variable, text] of Object.entries(layer)) {
      const service = /^([A-Z][A-Z0-9_]*)_URL$/.exec(variable)?.[1];
      if (service === undefined || text === undefined || RESERVED.has(variable)) continue;
      if (variable.startsWith('ORCHESTRATOR_')) continue;
      // The environment is full of other programs' URLs; only those that a request can go to are services.
      if (!/^https?:\/\//.test(text) || !URL.canParse(text)) continue;
      const name = service.toLowerCase();
      services.set(name, { name, text: text.replace(/\/+$/, ''), spelling: spellings?.[variable] ?? variable, file });
    }
  }
  for (const [spelled, url] of listed ?? []) {
    const name = spelled.toLowerCase().replaceAll('-', '_');
    services.set(name, { name, text: url.replace(/\/+$/, ''), spelling: all?.spelling ?? 'SERVICES', file: all?.file });
  }
  return services;
}

export function findSecrets(folder: string, sources: readonly Source[]): Map<string, Named> {
  const secrets = new Map<string, Named>();
  for (const [name, text] of readSecretFiles(folder)) {
    if (name !== KEY_FILE) secrets.set(name, { name, text, spelling: name, file: folder });
  }
  for (const { values, file, spellings } of [...sources].reverse()) {
    for (const [variable, text] of Object.entries(values)) {
      if (!variable.startsWith('SECRET_') || variable === 'SECRET_' || text === undefined || text === '') continue;
      const name = variable.slice('SECRET_'.length);
      secrets.set(name, { name, text, spelling: spellings?.[variable] ?? variable, file });
    }
  }
  return secrets;
}

/** SECRETS_KEY from its file, where it is not set otherwise. */
export function withKeyFile(values: Values, found: Map<string, Found>, faults: string[]): Values {
  const text = found.has(KEY_FILE) ? undefined : readSecretFiles(values.SECRETS_DIR).get(KEY_FILE);
  if (text === undefined) return values;
  found.set(KEY_FILE, { text, spelling: KEY_FILE, file: values.SECRETS_DIR });
  const { data, error } = VARIABLES.SECRETS_KEY.schema.safeParse(text);
  if (error !== undefined) faults.push(`${KEY_FILE} in ${values.SECRETS_DIR} ${error.issues[0]?.message ?? ''}.`);
  return { ...values, SECRETS_KEY: data ?? [] };
}

/** Without a prototype, because the names are user-defined. */
export function textsOf(named: ReadonlyMap<string, Named>): Record<string, string> {
  const texts: Record<string, string> = Object.create(null);
  for (const [name, { text }] of named) texts[name] = text;
  return texts;
}
