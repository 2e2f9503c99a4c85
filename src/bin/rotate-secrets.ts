import { createKeyring } from '../engine/keyring.ts';
import { configOrExit, exitBecause } from '../launch/run-process.ts';
import { openDatabase } from '../store/core/database.ts';
import { rotatePayloads } from '../store/payloads/rotate-payloads.ts';
import { rotateSecrets } from '../store/payloads/rotate-secrets.ts';

const { databaseUrl, secretKeys } = configOrExit({ listens: false });
if (databaseUrl === undefined) exitBecause('To rotate the secrets DATABASE_URL is needed.');
const keyring = createKeyring(secretKeys);
if (keyring === undefined)
  exitBecause('To rotate the secrets SECRETS_KEY is needed: the newest key first, older ones behind it.');

const { pool, close } = openDatabase(databaseUrl, { name: 'orchestrator-rotate', max: 1, onError: () => undefined });
const [secrets, payloads] = [await rotateSecrets(pool, keyring), await rotatePayloads(pool, keyring)];
const moved = { ...secrets.moved, ...payloads.moved };
const failed = [...secrets.failed, ...payloads.failed];
for (const [table, count] of Object.entries(moved))
  process.stdout.write(`${table}: ${count} moved to ${keyring.newest}.\n`);
if (Object.keys(moved).length === 0) process.stdout.write(`Nothing had to be moved to ${keyring.newest}.\n`);
for (const line of failed) process.stderr.write(`Not moved: ${line}\n`);
await close();
process.exitCode = failed.length > 0 ? 1 : 0;
