/** `npm run audit:verify`: 0 when every chain is intact, 1 when one is not, 2 when it could not be checked. */

import { errorMessage } from '../domain/texts/error-message.ts';
import { createAuditStore } from '../features/audit/store.ts';
import { readAnchors, verifyAudit } from '../features/audit/verify.ts';
import { runningPostgresUrl } from '../launch/postgres-server.ts';
import { configOrExit, exitBecause } from '../launch/run-process.ts';
import { openDatabase } from '../store/core/database.ts';

const say = (line: string) => void process.stdout.write(`${line}\n`);
const config = configOrExit({ listens: false });
const databaseUrl = config.databaseUrl ?? (await runningPostgresUrl(config.dataDir));
if (databaseUrl === undefined) exitBecause('The check needs DATABASE_URL, or an `npm start` in DATA_DIR.');
try {
  const { auditAnchorFile: file, auditAnchorSecrets: secrets } = config;
  const anchors = file === undefined ? new Map() : await readAnchors(file, secrets);
  const onError = (error: Error) => say(error.message);
  const database = openDatabase(databaseUrl, { name: 'orchestrator-audit-verify', max: 1, onError });
  const { chains, entries, broken } = await verifyAudit(createAuditStore(database.pool), anchors, say);
  await database.close();
  say(`${chains} chains, ${entries} entries: ${broken.length === 0 ? 'OK' : `${broken.length} broken`}`);
  process.exit(broken.length === 0 ? 0 : 1);
} catch (error) {
  process.stderr.write(`The audit could not be checked: ${errorMessage(error)}\n`);
  process.exit(2);
}
