#!/usr/bin/env node
/**
 * Stands in for kubectl in tests: it takes the commands that the service uses, checks every argument and every field of a
 * manifest, and has what a cluster has in the folder that KUBECTL_DOUBLE names. What it does not expect is written into
 * `faults` there. The command of a Job says what becomes of it: `ends`, `fails` or `hangs`, and after how many milliseconds;
 * `refused` and `stuck` are about its apply.
 */
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const folder = process.env.KUBECTL_DOUBLE ?? '';
const args = process.argv.slice(2);
const line = args.join(' ');
appendFileSync(
  path.join(folder, 'calls'),
  `${JSON.stringify({ args, pid: process.pid, environment: Object.keys(process.env).sort() })}\n`,
);

const NAME = '([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)';
const AT = `-n ${NAME}`;
const COMMANDS = [
  [/^apply -f -$/, apply],
  [new RegExp(`^get job/${NAME} -o json ${AT} --ignore-not-found$`), get],
  [new RegExp(`^get (jobs|podgroups) -l (\\S+) -o name ${AT}$`), list],
  [new RegExp(`^wait job/${NAME} --for=condition=complete --timeout=([1-9]\\d*)s ${AT}$`), wait],
  [new RegExp(`^logs job/${NAME} ${AT}$`), logs],
  [new RegExp(`^delete (job|podgroup)/${NAME} ${AT} --ignore-not-found$`), remove],
];
const command = COMMANDS.find(([pattern]) => pattern.test(line));
if (command === undefined || args.length !== line.split(' ').length) fault(`unexpected arguments: ${line}`);
else await command[1](...command[0].exec(line).slice(1));

function fault(message) {
  appendFileSync(path.join(folder, 'faults'), `${message}\n`);
  end(64, `error: ${message}`);
}

function end(code, text) {
  process.stderr.write(`${text}\n`);
  process.exit(code);
}

function fileOf(kind, namespace, name) {
  return path.join(folder, kind, namespace, `${name}.json`);
}

function read(kind, namespace, name) {
  const file = fileOf(kind, namespace, name);
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

function write(kind, object) {
  const file = fileOf(kind, object.metadata.namespace, object.metadata.name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(`${file}.${process.pid}`, JSON.stringify(object));
  renameSync(`${file}.${process.pid}`, file);
}

/** The Job with the conditions that it has by now. */
function jobAt(namespace, name) {
  const job = read('jobs', namespace, name);
  if (job === undefined) return undefined;
  const [what, afterMs = '0'] = job.spec.template.spec.containers[0].command ?? [];
  const isOver = Date.now() - Date.parse(job.metadata.creationTimestamp) >= Number(afterMs);
  const conditions = [{ type: 'Suspended', status: 'False' }];
  if (isOver && what === 'ends') conditions.push({ type: 'Complete', status: 'True' });
  if (isOver && what === 'fails') {
    const message = 'Job has reached the specified backoff limit';
    conditions.push({ type: 'Failed', status: 'True', reason: 'BackoffLimitExceeded', message });
  }
  return { ...job, status: { conditions } };
}

async function apply() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  const { kind, items } = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  const [group, job] = items;
  const faults = manifestFaults(kind, group, job, items.length);
  if (faults.length > 0) return fault(`the manifest: ${faults.join('; ')}`);
  const [what] = job.spec.template.spec.containers[0].command ?? [];
  if (what === 'refused') {
    return end(
      1,
      'Error from server (Forbidden): error when creating "STDIN": jobs.batch is forbidden: exceeded quota',
    );
  }
  if (what === 'stuck') {
    const helper = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
    appendFileSync(path.join(folder, 'stuck'), `${process.pid} ${helper.pid}\n`);
    await sleep(2 ** 30);
  }
  const { namespace, name } = job.metadata;
  write('podgroups', group);
  const before = read('jobs', namespace, name);
  const creationTimestamp = before?.metadata.creationTimestamp ?? new Date().toISOString();
  write('jobs', { ...job, metadata: { ...job.metadata, creationTimestamp } });
  const verb = before === undefined ? 'created' : 'unchanged';
  process.stdout.write(`podgroup.scheduling.volcano.sh/${name} ${verb}\njob.batch/${name} ${verb}\n`);
}

/** What a reviewer of a cluster would object to. */
function manifestFaults(kind, group, job, count) {
  const pod = job.spec.template.spec;
  const [container] = pod.containers;
  const user = { runAsUser: 1000, runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } };
  const { name, namespace, annotations, labels } = job.metadata;
  const scheduling = (of) => of['scheduling.k8s.io/group-name'] === name && of['volcano.sh/task-spec'] === 'job';
  const { minMember, minResources, queue } = group.spec;
  const rules = {
    'two items': kind === 'List' && count === 2,
    'a PodGroup': group.kind === 'PodGroup' && group.apiVersion === 'scheduling.volcano.sh/v1beta1',
    'a Job': job.kind === 'Job' && job.apiVersion === 'batch/v1',
    'one name': group.metadata.name === name && group.metadata.namespace === namespace,
    'a name': new RegExp(`^${NAME}$`).test(name) && new RegExp(`^${NAME}$`).test(namespace),
    labels: labels['app.kubernetes.io/managed-by'] === 'orchestrator' && same(labels, group.metadata.labels),
    'labels of the pod': same(labels, job.spec.template.metadata.labels),
    annotations: scheduling(annotations) && scheduling(job.spec.template.metadata.annotations),
    'one queue': annotations['volcano.sh/queue-name'] === queue,
    'the scheduler': pod.schedulerName === 'volcano',
    'minMember of parallelism': minMember >= job.spec.parallelism,
    'requests are limits': same(container.resources.requests, container.resources.limits),
    'resources of the group': same(minResources, container.resources.requests),
    'no retries of its own': job.spec.backoffLimit === 0 && pod.restartPolicy === 'Never',
    'a TTL': job.spec.ttlSecondsAfterFinished >= 300,
    'no token of the cluster': pod.automountServiceAccountToken === false,
    'the user of the pod': same(pod.securityContext, user),
    'the user of the container': same(container.securityContext, {
      ...user,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
    }),
    'nothing of the host': pod.volumes === undefined && pod.hostNetwork === undefined && pod.containers.length === 1,
    'env as texts': container.env.every(({ value }) => typeof value === 'string'),
  };
  return Object.keys(rules).filter((rule) => !rules[rule]);
}

function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}

function get(name, namespace) {
  const job = jobAt(namespace, name);
  if (job !== undefined) process.stdout.write(JSON.stringify(job));
}

function list(kind, selector, namespace) {
  const labels = selector.split(',').map((one) => one.split('='));
  const place = path.join(folder, kind, namespace);
  const type = kind === 'jobs' ? 'job.batch' : 'podgroup.scheduling.volcano.sh';
  for (const file of existsSync(place) ? readdirSync(place) : []) {
    if (!file.endsWith('.json')) continue;
    const { metadata } = JSON.parse(readFileSync(path.join(place, file), 'utf8'));
    if (labels.every(([key, value]) => metadata.labels?.[key] === value))
      process.stdout.write(`${type}/${metadata.name}\n`);
  }
}

async function wait(name, seconds, namespace) {
  const until = Date.now() + Number(seconds) * 1000;
  while (Date.now() < until) {
    const job = jobAt(namespace, name);
    if (job === undefined) return end(1, `Error from server (NotFound): jobs.batch "${name}" not found`);
    if (job.status.conditions.some(({ type }) => type === 'Complete')) {
      return void process.stdout.write(`job.batch/${name} condition met\n`);
    }
    await sleep(50);
  }
  end(1, `error: timed out waiting for the condition on jobs/${name}`);
}

function logs(name, namespace) {
  const job = jobAt(namespace, name);
  if (job === undefined) return end(1, `Error from server (NotFound): jobs.batch "${name}" not found`);
  const [container] = job.spec.template.spec.containers;
  const [, , lines = '0'] = container.command ?? [];
  for (let n = 0; n < Number(lines); n += 1) process.stdout.write(`line ${n} of many ${'.'.repeat(80)}\n`);
  process.stdout.write(`${container.image} has run\n`);
  for (const { name: variable, value } of container.env) process.stdout.write(`${variable}=${value}\n`);
}

function remove(kind, name, namespace) {
  rmSync(fileOf(`${kind}s`, namespace, name), { force: true });
}
