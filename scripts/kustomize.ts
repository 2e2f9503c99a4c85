/**
 * Renders a kustomization as `kubectl kustomize` does, as far as those below deploy/ need it. What it does not know it rejects,
 * so that nothing is rendered by halves. A test compares it with kubectl where that is installed.
 */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';

export type Manifest = Record<string, unknown> & {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string> };
};

const kustomization = z.strictObject({
  apiVersion: z.enum(['kustomize.config.k8s.io/v1beta1', 'kustomize.config.k8s.io/v1alpha1']),
  kind: z.enum(['Kustomization', 'Component']),
  namespace: z.string().optional(),
  resources: z.array(z.string()).default([]),
  components: z.array(z.string()).default([]),
  images: z
    .array(z.strictObject({ name: z.string(), newName: z.string().optional(), newTag: z.string().optional() }))
    .default([]),
  configMapGenerator: z
    .array(
      z.strictObject({
        name: z.string(),
        behavior: z.enum(['create', 'merge']).default('create'),
        literals: z.array(z.string().regex(/^[^=]+=/)),
      }),
    )
    .default([]),
  patches: z.array(z.union([z.strictObject({ path: z.string() }), z.strictObject({ patch: z.string() })])).default([]),
});
type Kustomization = z.infer<typeof kustomization>;
type ImageChange = Kustomization['images'][number];

const manifest = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({ name: z.string() }),
});

/** By the field that lists its elements, what tells them apart in a patch. */
const MERGE_KEYS: Readonly<Record<string, string>> = { containers: 'name', env: 'name', volumes: 'name' };
/** After this many digits of the digest a name is unlikely to be taken. */
const DIGEST_LENGTH = 10;
/** Kubernetes writes digits and vowels of a digest so that no word comes about. */
const SAFE_DIGITS: Readonly<Record<string, string>> = { 0: 'g', 1: 'h', 3: 'k', a: 'm', e: 't' };

export function renderKustomization(folder: string): Manifest[] {
  const resources: Manifest[] = [];
  const generated = new Set<Manifest>();
  apply(folder, resources, generated);
  for (const config of generated) {
    const name = `${config.metadata.name}-${digestOf(config)}`;
    for (const resource of resources) renameReferences(resource, config.metadata.name, name);
    config.metadata.name = name;
  }
  return resources;
}

/** Adds what `folder` has to `resources`, and changes what is there as it says. A component sees what its user has. */
function apply(folder: string, resources: Manifest[], generated: Set<Manifest>): void {
  const [raw, ...more] = documentsOf(readFileSync(path.join(folder, 'kustomization.yaml'), 'utf8'));
  if (more.length > 0) throw new Error(`${folder} has more than one kustomization`);
  const parsed = kustomization.safeParse(raw);
  if (!parsed.success) throw new Error(`${folder}/kustomization.yaml: ${z.prettifyError(parsed.error)}`);
  const wanted = parsed.data;
  const own: Manifest[] = wanted.kind === 'Component' ? resources : [];
  for (const name of wanted.resources) addResource(path.join(folder, name), own, generated);
  for (const generator of wanted.configMapGenerator) generate(generator, own, generated);
  for (const name of wanted.components) apply(path.join(folder, name), own, generated);
  for (const patch of wanted.patches) {
    const text = 'path' in patch ? readFileSync(path.join(folder, patch.path), 'utf8') : patch.patch;
    for (const change of documentsOf(text)) patchOne(own, change, folder);
  }
  for (const resource of own) {
    if (wanted.namespace !== undefined) resource.metadata.namespace = wanted.namespace;
    for (const image of wanted.images) changeImages(resource, image);
  }
  if (own === resources) return;
  for (const resource of own) add(resources, resource);
}

function addResource(target: string, own: Manifest[], generated: Set<Manifest>): void {
  if (statSync(target).isDirectory()) {
    apply(target, own, generated);
    return;
  }
  for (const document of documentsOf(readFileSync(target, 'utf8'))) add(own, asManifest(document, target));
}

function add(resources: Manifest[], resource: Manifest): void {
  if (find(resources, resource) !== undefined) {
    throw new Error(`${resource.kind} ${resource.metadata.name} is there twice`);
  }
  resources.push(resource);
}

function find(resources: readonly Manifest[], like: Manifest): Manifest | undefined {
  return resources.find(
    ({ apiVersion, kind, metadata }) =>
      apiVersion === like.apiVersion && kind === like.kind && metadata.name === like.metadata.name,
  );
}

function generate(
  { name, behavior, literals }: Kustomization['configMapGenerator'][number],
  own: Manifest[],
  generated: Set<Manifest>,
): void {
  const data = Object.fromEntries(
    literals.map((literal) => {
      const at = literal.indexOf('=');
      return [literal.slice(0, at), literal.slice(at + 1)];
    }),
  );
  if (behavior === 'create') {
    const made = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data };
    add(own, made);
    generated.add(made);
    return;
  }
  const merged = own.find((resource) => generated.has(resource) && resource.metadata.name === name);
  if (merged === undefined) throw new Error(`There is no ConfigMap ${name} to merge with`);
  merged['data'] = { ...(merged['data'] as Record<string, string>), ...data }; // Made above.
}

function patchOne(own: Manifest[], change: unknown, where: string): void {
  const patch = asManifest(change, where);
  const target = find(own, patch);
  if (target === undefined)
    throw new Error(`${where} patches ${patch.kind} ${patch.metadata.name}, which is not there`);
  if ('$patch' in patch) {
    if (patch['$patch'] !== 'delete') throw new Error(`${where}: $patch: ${String(patch['$patch'])} is not known`);
    own.splice(own.indexOf(target), 1);
    return;
  }
  merge(target, patch, where);
}

/** Objects by their keys, lists by those of MERGE_KEYS; null removes. */
function merge(target: Record<string, unknown>, patch: Record<string, unknown>, where: string): void {
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$')) throw new Error(`${where}: ${key} is not known here`);
    const there = target[key];
    if (value === null) delete target[key];
    else if (Array.isArray(value)) target[key] = mergeLists(key, there, value, where);
    else if (isObject(value) && isObject(there)) merge(there, value, where);
    else target[key] = value;
  }
}

function mergeLists(field: string, there: unknown, patch: readonly unknown[], where: string): unknown[] {
  const by = MERGE_KEYS[field];
  if (by === undefined) throw new Error(`${where} patches the list ${field}, whose elements nothing tells apart`);
  const merged: unknown[] = Array.isArray(there) ? [...there] : [];
  for (const element of patch) {
    if (!isObject(element)) throw new Error(`${where}: an element of ${field} has no ${by}`);
    const same = merged.find((one) => isObject(one) && one[by] === element[by]);
    if (isObject(same)) merge(same, element, where);
    else merged.unshift(element);
  }
  return merged;
}

function changeImages(resource: Manifest, { name, newName, newTag }: ImageChange): void {
  for (const container of containersOf(resource)) {
    const [image, tag] = String(container['image']).split(':');
    if (image !== name) continue;
    container['image'] = [newName ?? name, newTag ?? tag].filter((part) => part !== undefined).join(':');
  }
}

function renameReferences(resource: Manifest, name: string, renamed: string): void {
  for (const { envFrom } of containersOf(resource)) {
    for (const source of Array.isArray(envFrom) ? envFrom : []) {
      if (source.configMapRef?.name === name) source.configMapRef.name = renamed;
    }
  }
}

/** Those of whatever has a template of pods. */
export function containersOf(resource: Manifest): Array<Record<string, unknown>> {
  const { spec } = resource;
  const template = isObject(spec) ? spec['template'] : undefined;
  const pod = isObject(template) ? template['spec'] : undefined;
  const containers = isObject(pod) ? pod['containers'] : undefined;
  return Array.isArray(containers) ? containers.filter(isObject) : [];
}

/** As Kubernetes hashes a ConfigMap: its keys in order, without blanks. */
function digestOf(config: Manifest): string {
  const data = Object.fromEntries(Object.entries(config['data'] as Record<string, string>).sort(byKey)); // Made above.
  const text = JSON.stringify({ data, kind: 'ConfigMap', name: '' });
  const digest = createHash('sha256').update(text).digest('hex').slice(0, DIGEST_LENGTH);
  return [...digest].map((digit) => SAFE_DIGITS[digit] ?? digit).join('');
}

function byKey([one]: readonly [string, string], [other]: readonly [string, string]): number {
  return one < other ? -1 : 1;
}

function documentsOf(text: string): unknown[] {
  return parseAllDocuments(text).map((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw error;
    return document.toJS();
  });
}

function asManifest(document: unknown, where: string): Manifest {
  const parsed = manifest.safeParse(document);
  if (!parsed.success) throw new Error(`${where}: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
