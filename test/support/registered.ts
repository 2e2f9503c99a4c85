/** Services that a tenant has registered. */
import { accepted, type Client, type Headings } from '../harness/client/client.ts';

export async function register(api: Client, services: Record<string, string>, headers: Headings = {}): Promise<void> {
  for (const [name, base_url] of Object.entries(services))
    accepted(await api.post('/registry/register', { name, base_url }, headers), 200);
}

/** Nobody listens there. */
export const NOBODY = 'http://127.0.0.1:9';
