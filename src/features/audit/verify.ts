/** Checks every chain of the audit against itself, its head and, where there is a file of them, its anchors. */
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { type AuditHead, type AuditStore, NOBODYS_CHAIN } from '../../engine/ports/audit.ts';
import { isSigned } from './anchor.ts';
import { type BrokenChain, checkChain, NO_HASH } from './chain.ts';

const CHAINS_AT_ONCE = 200;
const ENTRIES_AT_ONCE = 500;

const hex = z.string().regex(/^[0-9a-f]{64}$/);
const anchorLine = z.object({
  ...{ tenant_id: z.string(), seq: z.int().min(1), hash: hex },
  at: z.string().default(''),
  signature: hex.exactOptional(),
});

export interface VerifiedAudit {
  chains: number;
  entries: number;
  broken: Array<{ tenantId: string; fault: BrokenChain }>;
}

/** `say` gets a line for each chain. */
export async function verifyAudit(
  store: Pick<AuditStore, 'chains' | 'entries'>,
  anchors: ReadonlyMap<string, readonly AuditHead[]>,
  say: (line: string) => void,
): Promise<VerifiedAudit> {
  const found: VerifiedAudit = { chains: 0, entries: 0, broken: [] };
  const seen = new Set<string>();
  const check = async (chain: Parameters<typeof checkChain>[0]) => {
    const tenantId = chain.tenant_id;
    const pages = (after: number) => store.entries(tenantId, after, ENTRIES_AT_ONCE);
    const { entries, broken } = await checkChain(chain, pages, anchors.get(tenantId) ?? []);
    seen.add(tenantId);
    found.chains += 1;
    found.entries += entries;
    const name = tenantId === NOBODYS_CHAIN ? 'the installation' : `tenant ${tenantId}`;
    if (broken === undefined) return say(`${name}: ${entries} entries, OK`);
    found.broken.push({ tenantId, fault: broken });
    say(`${name}: entry ${broken.seq} ${broken.what}: ${broken.detail}`);
  };
  let chains = await store.chains(undefined, CHAINS_AT_ONCE);
  while (chains.length > 0) {
    for (const chain of chains) await check(chain);
    chains = await store.chains(chains.at(-1)?.tenant_id, CHAINS_AT_ONCE);
  }
  // Somebody took a chain away with its head.
  const none = { seq: 0, hash: NO_HASH, pruned_seq: 0, pruned_hash: NO_HASH };
  for (const tenant_id of anchors.keys()) if (!seen.has(tenant_id)) await check({ tenant_id, ...none });
  return found;
}

/** With `secrets` every line has to be signed with one of them. */
export async function readAnchors(file: string, secrets: readonly string[] = []): Promise<Map<string, AuditHead[]>> {
  const anchors = new Map<string, AuditHead[]>();
  let number = 0;
  for await (const line of createInterface({ input: createReadStream(file, 'utf8') })) {
    number += 1;
    if (line === '') continue;
    let head: z.infer<typeof anchorLine>;
    try {
      head = anchorLine.parse(JSON.parse(line));
    } catch (error) {
      throw new Error(`${file}: line ${number} is not an anchor`, { cause: error });
    }
    if (secrets.length > 0 && !isSigned(head, secrets)) {
      throw new Error(`${file}: line ${number} is not signed with AUDIT_ANCHOR_SECRET`);
    }
    const listed = anchors.get(head.tenant_id);
    if (listed === undefined) anchors.set(head.tenant_id, [head]);
    else listed.push(head);
  }
  return anchors;
}
