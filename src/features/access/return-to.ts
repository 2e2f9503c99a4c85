/** Where a page leads after a login: to a path of our own, whatever somebody has written into a link. */

export const AFTER_LOGIN = '/docs';
const MAX_LENGTH = 2_048;
/** What a browser, or a proxy that decodes a path, may take for the start of another host. */
const OTHER_HOST = /^\/(?:[/\\]|%(?:25)*(?:2f|5c))/i;
const PRINTABLE = /^[\x21-\x5b\x5d-\x7e]+$/;
/** A login that leads to a login would go round for ever. */
const OWN_PAGES = /^\/auth(?:\/|$)/;

/** `text` when it is a path of our own (with its query), else the page that everybody gets. */
export function ownPath(text: unknown): string {
  if (typeof text !== 'string' || text.length > MAX_LENGTH) return AFTER_LOGIN;
  if (!text.startsWith('/') || !PRINTABLE.test(text) || OTHER_HOST.test(text)) return AFTER_LOGIN;
  const ours = 'http://own.invalid';
  if (!URL.canParse(ours + text)) return AFTER_LOGIN;
  // As a browser will read it: `/.//host` is `//host`.
  const { origin, pathname, search, hash } = new URL(ours + text);
  if (origin !== ours || OTHER_HOST.test(pathname) || OWN_PAGES.test(pathname)) return AFTER_LOGIN;
  return pathname + search + hash;
}
