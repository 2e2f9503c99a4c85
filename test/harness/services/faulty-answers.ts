/** What a service that is asked for JSON may do wrong, apart from being away: by name, for tests that try each. */
import type { Answering } from './service.ts';

const HUGE_BYTES = 300_000;

/** `good`: an answer that would be believed, were it not for the fault. */
export function faultyAnswers(good: { [key: string]: unknown }): Readonly<Record<string, Answering>> {
  const [flag = ''] = Object.keys(good);
  const { [flag]: _, ...rest } = good;
  return {
    'never answers': () => undefined,
    'answers 500': () => ({ status: 500, body: good }),
    'answers 503': () => ({ status: 503, body: good }),
    'is at another path': () => ({ status: 404, body: good }),
    'says neither yes nor no': () => ({ body: rest }),
    'says yes as a text': () => ({ body: { ...good, [flag]: 'true' } }),
    'says yes as a number': () => ({ body: { ...good, [flag]: 1 } }),
    'answers a list': () => ({ body: [good] }),
    'answers null': () => ({ body: 'null' }),
    'answers no JSON': () => ({ body: '<html>true</html>' }),
    'answers nothing': () => ({ body: '' }),
    'answers without end': () => ({ body: { ...good, more: 'x'.repeat(HUGE_BYTES) } }),
    'says that it is compressed, and is not': () => ({ headers: { 'content-encoding': 'gzip' }, body: good }),
    'redirects elsewhere': () => ({ status: 307, headers: { location: 'http://127.0.0.1:1/' }, body: good }),
    'hangs up': (_call, response) => void response.destroy(),
  };
}

/** The address of a port that nobody listens on. */
export const AWAY = 'http://127.0.0.1:1';
