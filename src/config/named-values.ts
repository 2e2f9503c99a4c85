/** What has names of its users' making: services (`<NAME>_URL`, SERVICES) and secrets (SECRET_<NAME>, the files of SECRETS_DIR). */
import { type Found, RESERVED, type Values } from './read-settings.ts';
import { readSecretFiles, type Source } from './sources.ts';

export type Named = Found & { name: string };

/** lower_snake name -> where its URL was found; SERVICES wins over `<NAME>_URL`. */
export function findServices(values: Values, sources: readonly Source[], all: Found | undefined): Map<string, Named> {
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
  for (const [spelled, url] of values.SERVICES ?? []) {
    const name = spelled.toLowerCase().replaceAll('-', '_');
    services.set(name, { name, text: url.replace(/\/+$/, ''), spelling: all?.spelling ?? 'SERVICES', file: all?.file });
  }
  return services;
}

export function findSecrets(folder: string, sources: readonly Source[]): Map<string, Named> {
  const secrets = new Map<string, Named>();
  for (const [name, text] of readSecretFiles(folder)) secrets.set(name, { name, text, spelling: name, file: folder });
  for (const { values, file, spellings } of [...sources].reverse()) {
    for (const [variable, text] of Object.entries(values)) {
      if (!variable.startsWith('SECRET_') || variable === 'SECRET_' || text === undefined || text === '') continue;
      const name = variable.slice('SECRET_'.length);
      secrets.set(name, { name, text, spelling: spellings?.[variable] ?? variable, file });
    }
  }
  return secrets;
}

/** Without a prototype: the names are their users'. */
export function textsOf(named: ReadonlyMap<string, Named>): Record<string, string> {
  const texts: Record<string, string> = Object.create(null);
  for (const [name, { text }] of named) texts[name] = text;
  return texts;
}
