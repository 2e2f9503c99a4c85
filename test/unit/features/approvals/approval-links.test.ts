import { describe, expect, test } from 'vitest';
import { createApprovalLinks, type LinkClaim } from '../../../../src/features/approvals/links.ts';
import { openDoor } from '../../../support/http-app.ts';

const CLAIM: LinkClaim = {
  ...{ runId: 'run-1', epoch: 2, actionId: 'each[3]', verdict: 'approved' as const, for: 'änna' },
  expiresAt: new Date('2030-01-01T12:00:00.000Z'),
};
const one = 'one secret of thirty-two characters';
const other = 'other secret of thirty-two characters';

function links(...secrets: string[]) {
  const made = createApprovalLinks(secrets);
  if (made === undefined) throw new Error('there are secrets');
  return made;
}

describe('a link', () => {
  test('says what was signed', () => {
    expect(links(one).read(links(one).write(CLAIM))).toEqual(CLAIM);
  });

  test('is not ours when one character of it is another one, or more follows', () => {
    const token = links(one).write(CLAIM);
    for (let at = 0; at < token.length; at += 1) {
      const changed = `${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`;
      expect(links(one).read(changed), changed).toBeUndefined();
    }
    for (const changed of [`${token}=`, `${token}.x`, `${token}A`, token.slice(0, -1), '', '.', 'x'.repeat(5_000)]) {
      expect(links(one).read(changed), changed).toBeUndefined();
    }
  });

  test('of an older secret is good as long as that is listed', () => {
    const token = links(one).write(CLAIM);
    expect(links(other, one).read(token)).toEqual(CLAIM);
    expect(links(other).read(token)).toBeUndefined();
    expect(links(other, one).write(CLAIM)).toBe(links(other).write(CLAIM));
  });

  test('cannot be made without a secret', () => {
    expect(createApprovalLinks([])).toBeUndefined();
  });
});

describe('over HTTP', () => {
  test('a link needs no key, its page decides nothing, and its token is in no log', async () => {
    const door = await openDoor({ apiKeys: ['the key'] });
    try {
      const page = await door.fetch('/approvals/secret.token', { headers: { accept: 'text/html' } });
      const html = await page.text();
      expect(page.status).toBe(200);
      expect(html).toContain('<form method="post"><button>Approve</button></form>');
      // What users wrote stays text.
      expect(html).toContain('Pay &#60;b&#62;42&#60;/b&#62;?');
      // To nobody else, and its own form has an origin: under `no-referrer` browsers send `Origin: null`.
      expect(page.headers.get('referrer-policy')).toBe('same-origin');
      expect(page.headers.get('cache-control')).toBe('no-store');
      await door.fetch('/approvals/secret.token', { method: 'HEAD' });
      expect(door.asked.links).toEqual(['GET secret.token', 'GET secret.token']);

      const form = { 'content-type': 'application/x-www-form-urlencoded', accept: 'text/html' };
      const decided = await door.fetch('/approvals/secret.token', { method: 'POST', headers: form });
      expect(await decided.text()).toContain('Approved');
      const asJson = await door.post('/approvals/secret.token', { comment: 'fine' });
      expect(await asJson.json()).toMatchObject({ decision: 'approved', by: 'anna' });
      expect(door.asked.links.slice(2)).toEqual(['POST secret.token ', 'POST secret.token fine']);

      door.failWith(new Error('unforeseen'));
      const failed = await door.fetch('/approvals/secret.token');
      expect(await failed.text()).not.toContain('secret.token');
      expect(JSON.stringify(door.logged)).not.toContain('secret.token');
      expect((await door.fetch('/approvals')).status).toBe(401);
    } finally {
      await door.close();
    }
  });
});
