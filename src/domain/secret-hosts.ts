/** Where a secret may go. A host is `api.example.com`, with a port `api.example.com:8443`, or `*.example.com`. */

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const PORT = '(?::(?:[1-9]\\d{0,4}))?';
const NAME = new RegExp(`^(?:\\*\\.)?${LABEL}(?:\\.${LABEL})*${PORT}$`);
const IPV6 = new RegExp(`^\\[[0-9a-f:.]{2,45}\\]${PORT}$`);
const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

export function isSecretHost(text: string): boolean {
  return text.length <= 255 && (NAME.test(text) || IPV6.test(text));
}

/** Without a port the one that the scheme has by itself is meant; a star stands for one or more labels, not for none. */
export function hostAllows(hosts: readonly string[], url: URL): boolean {
  const port = url.port === '' ? (DEFAULT_PORTS[url.protocol] ?? '') : url.port;
  return hosts.some((host) => {
    const [, name = '', ownPort] = /^(.*?)(?::(\d+))?$/.exec(host) ?? [];
    if ((ownPort ?? DEFAULT_PORTS[url.protocol]) !== port) return false;
    return name.startsWith('*.')
      ? url.hostname.endsWith(name.slice(1)) && url.hostname !== name.slice(2)
      : url.hostname === name;
  });
}
