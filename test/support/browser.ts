/**
 * As much of a browser as logging in takes: it keeps cookies, and follows where it is sent when told to. Not by `fetch`, which
 * says in headers of its own that a script asks.
 */
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';

export interface Ask {
  method?: string;
  headers?: Readonly<Record<string, string>>;
  body?: string | null;
}

export interface Browser {
  cookies: Map<string, string>;
  /** Every `Set-Cookie` line that came. */
  told: string[];
  /** One request; goes nowhere by itself. */
  ask(url: string, init?: Ask): Promise<Response>;
  /** A page, wherever it is in the end; every address on the way, the last one the page's. */
  visit(url: string): Promise<{ answer: Response; way: string[] }>;
}

const MAX_HOPS = 10;

export function createBrowser(): Browser {
  const browser: Browser = {
    cookies: new Map(),
    told: [],
    async ask(url, init = {}) {
      const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const answer = await send(url, {
        ...init,
        headers: {
          accept: 'text/html,application/xhtml+xml,*/*;q=0.8',
          ...(cookie === '' ? {} : { cookie }),
          ...init.headers,
        },
      });
      for (const line of answer.headers.getSetCookie()) {
        browser.told.push(line);
        const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        if (/; Max-Age=0;/.test(line)) browser.cookies.delete(name);
        else browser.cookies.set(name, value);
      }
      return answer;
    },
    async visit(url) {
      const way = [url];
      for (let hops = 0; hops < MAX_HOPS; hops += 1) {
        const at = way.at(-1) ?? url;
        const answer = await browser.ask(at);
        const location = answer.headers.get('location');
        if (answer.status < 300 || answer.status >= 400 || location === null) return { answer, way };
        way.push(new URL(location, at).href);
      }
      throw new Error(`it leads on and on: ${way.join(' ')}`);
    },
  };
  return browser;
}

async function send(url: string, { method = 'GET', headers = {}, body }: Ask): Promise<Response> {
  const sent = request(url, { method, headers: { ...headers }, agent: false });
  sent.end(body ?? undefined);
  const [answer] = (await once(sent, 'response')) as [IncomingMessage]; // What the event is told with.
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer); // No encoding is set.
  const { statusCode = 0, headersDistinct } = answer;
  const received = Object.entries(headersDistinct).flatMap(([name, values = []]) =>
    values.map((value): [string, string] => [name, value]),
  );
  const text = Buffer.concat(chunks).toString();
  return new Response(text === '' ? null : text, { status: statusCode, headers: received });
}
