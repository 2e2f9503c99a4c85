/** Names, images and quantities as Kubernetes takes them: none of them begins with `-`, so none is read as an option. */
import { z } from 'zod';

const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
/** `host:port/path:tag@digest`, as registries take it; without spaces, and within a bounded length. */
const IMAGE =
  /^(?=.{1,512}$)[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?::\d{1,5}(?=\/))?(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*(?::\w[\w.-]{0,127})?(?:@sha256:[a-f0-9]{64})?$/;
const QUANTITY = /^(\d{1,18}(?:\.\d{1,9})?)(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$/;

const FACTORS: Readonly<Record<string, number>> = {
  ...{ m: 1e-3, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 },
  ...{ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 },
};

/** Cores or bytes. Undefined: it is no quantity, or none of anything. */
export function parseQuantity(text: string): number | undefined {
  const [, digits, suffix] = QUANTITY.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const value = Number(digits) * (suffix === undefined ? 1 : (FACTORS[suffix] ?? Number.NaN));
  return value > 0 ? value : undefined;
}

export const kubernetesNamespace = z
  .string()
  .regex(LABEL, 'must be 1 to 63 lower-case letters, digits and -, with a letter or digit at both ends');
export const kubernetesQueue = z
  .string()
  .regex(SUBDOMAIN, 'must be lower-case letters, digits, - and ., with a letter or digit at both ends of each part');
export const containerImage = z.string().regex(IMAGE, 'must be the name of an image, such as python:3.11-slim');
export const kubernetesQuantity = z
  .string()
  .refine((text) => parseQuantity(text) !== undefined, { error: 'must be a quantity above 0, such as 500m or 512Mi' });
