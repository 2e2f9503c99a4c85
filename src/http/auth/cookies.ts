/** Reads the cookies that browsers send, and makes those that they store. */

/** All values under that name: a page of a neighbouring host may have set a second one. */
export function cookiesNamed(name: string, lines: readonly string[] | undefined): string[] {
  const pairs = (lines ?? []).flatMap((line) => line.split(';')).map((pair) => pair.trim());
  return pairs.filter((pair) => pair.startsWith(`${name}=`)).map((pair) => pair.slice(name.length + 1));
}

/**
 * No script reads it, and no other site's page sends it but by leading here. With https it goes over nothing else, and its
 * name (`__Host-`) keeps other hosts of the domain from setting it.
 */
export function createCookie(
  name: string,
  https: boolean,
): { name: string; set(value: string, seconds: number): string; clear(): string } {
  const full = https ? `__Host-${name}` : name;
  const attributes = `Path=/; HttpOnly; SameSite=Lax${https ? '; Secure' : ''}`;
  return {
    name: full,
    set: (value, seconds) => `${full}=${value}; Max-Age=${Math.floor(seconds)}; ${attributes}`,
    clear: () => `${full}=; Max-Age=0; ${attributes}`,
  };
}
