/**
 * Keeps a call below the address of its service. A template may fill path and query of a call, never scheme, host or port, and
 * where the address has a path it may not climb out of it, however it is spelled.
 */

/** Of what is decoded once more by the service than by us. */
const MOST_DECODED = 3;

/** `path` below `base`; undefined when it leads elsewhere. */
export function addressBelow(base: string, path: string): URL | undefined {
  const root = new URL(base);
  if (path === '') return root;
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(path)) return undefined;
  const text = `${root.origin}${prefixOf(root)}/${path.replace(/^\/+/, '')}`;
  if (!URL.canParse(text)) return undefined;
  const target = new URL(text);
  return isBelow(root, target) ? target : undefined;
}

/**
 * The address of an endpoint of a service that is known by its base URL, which may have a part of the path, or all of it,
 * already: nothing is appended twice. Without credentials.
 */
export function endpointOf(base: string, path: string): URL {
  const url = new URL(base);
  const segments = path.split('/').filter((segment) => segment !== '');
  const prefix = prefixOf(url);
  const heads = segments.map((_, index) => `/${segments.slice(0, segments.length - index).join('/')}`);
  const there = heads.find((head) => prefix.endsWith(head)) ?? '';
  url.pathname = prefix + `/${segments.join('/')}`.slice(there.length);
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}

export function isBelow(base: URL, target: URL): boolean {
  if (target.origin !== base.origin || target.username !== '' || target.password !== '') return false;
  const prefix = prefixOf(base);
  if (prefix === '') return true;
  if (target.pathname !== prefix && !target.pathname.startsWith(`${prefix}/`)) return false;
  return !climbs(target.pathname.slice(prefix.length));
}

/** Servers differ in what they decode, take for a separator, or leave out (`..;x`), so each of these is a way up. */
function climbs(path: string): boolean {
  let text = path;
  for (let times = 0; times <= MOST_DECODED; times += 1) {
    if (text.split(/[/\\]/).some((segment) => /^\.\.?(?:;.*)?$/s.test(segment))) return true;
    const decoded = text.replaceAll(/%(2e|2f|5c|3b|25)/gi, (_all, code: string) =>
      String.fromCharCode(Number.parseInt(code, 16)),
    );
    if (decoded === text) return false;
    text = decoded;
  }
  return true;
}

function prefixOf(base: URL): string {
  return base.pathname.replace(/\/+$/, '');
}
