import { expect, test } from 'vitest';
import { createBoard } from '../../../src/dashboard/board.ts';
import { BOARD_PATH } from '../../../src/http/server/app.ts';
import { openDoor } from '../../support/http-app.ts';

test('the board works under the policy that lets scripts come from here only', async () => {
  const door = await openDoor({}, { board: createBoard([], BOARD_PATH) });
  try {
    const answer = await door.fetch(BOARD_PATH);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-security-policy')).toContain("script-src 'self'");
    const page = await answer.text();
    expect(page).toContain('Orchestrator');
    // Inline data is no script; everything that is executed comes from a file.
    expect(page).not.toMatch(/<script(?![^>]*(?:src=|type="application\/json"))/);
    const base = /<base href="([^"]+)"/.exec(page)?.[1] ?? '';
    const files = [...page.matchAll(/(?:src|href)="(static\/[^"]+)"/g)].map(([, file = '']) => file);
    expect(files.length).toBeGreaterThan(3);
    for (const file of files)
      expect((await door.fetch(new URL(file, `${door.url}${base}`).pathname)).status, file).toBe(200);
    expect(await (await door.fetch(`${BOARD_PATH}/api/queues`)).json()).toMatchObject({ queues: [] });
  } finally {
    await door.close();
  }
});
