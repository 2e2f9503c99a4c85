/** Every protocol on one port: plaintext, with TLS, and with certificates of clients. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { afterAll, describe, expect } from 'vitest';
import { WebSocket } from 'ws';
import { endpointsOf } from '../../src/compose/features.ts';
import { HealthCheckResponse_ServingStatus, HealthService } from '../../src/features/grpc/generated/health_pb.ts';
import { WorkflowService } from '../../src/features/grpc/generated/orchestrator_pb.ts';
import { makeAuthority, makeCertificate } from '../support/certificate.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, workflow } from '../support/test-task.ts';

const run = promisify(execFile);
const folder = mkdtempSync(path.join(tmpdir(), 'one-port-'));
const server = makeCertificate(folder);
const authority = makeAuthority(folder, 'authority');
const client = authority.issue('client', '/CN=client');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const TLS = { ENABLE_TLS: 'true', TLS_CERT_PATH: server.certPath, TLS_KEY_PATH: server.keyPath };
const MUTUAL = {
  ...TLS,
  AUTH_REQUIRED: 'true',
  TLS_CLIENT_CERTS: 'required',
  TLS_CA_PATH: path.join(folder, 'authority.crt'),
  TLS_CLIENTS: JSON.stringify({ 'CN:client': { user: 'client', tenant: 'default', roles: ['admin'] } }),
};

const EVENTS = ['run.started', 'task.completed', 'run.completed'];

const VARIANTS = [
  { name: 'plaintext', environment: {}, scheme: 'http', curl: [], http2: '--http2-prior-knowledge', node: {} },
  {
    name: 'TLS',
    environment: TLS,
    scheme: 'https',
    curl: ['--cacert', server.certPath],
    http2: '--http2',
    node: { ca: server.cert },
  },
  {
    name: 'mutual TLS',
    environment: MUTUAL,
    scheme: 'https',
    curl: [
      '--cacert',
      server.certPath,
      '--cert',
      path.join(folder, 'client.crt'),
      '--key',
      path.join(folder, 'client.key'),
    ],
    http2: '--http2',
    node: { ca: server.cert, ...client },
  },
];

// What a port speaks does not depend on where the jobs are.
const [onOne] = onBothBackends();

describe.each([onOne].flatMap((one) => one ?? []))('one port on $backend', ({ test }) => {
  test.for(VARIANTS)(
    'serves every protocol with $name',
    async ({ environment, scheme, curl, http2, node }, { stack }) => {
      const { port, stop } = await stack.add('api', environment);
      const url = `${scheme}://127.0.0.1:${port}`;
      const ask = async (...args: string[]) => (await run('curl', ['-sS', ...curl, ...args])).stdout;
      const versionOf = (...args: string[]) =>
        ask(...args, '-o', '/dev/null', '-w', '%{http_version} %{http_code}', `${url}/info`);
      expect(await versionOf('--http1.1')).toBe('1.1 200');
      expect(await versionOf(http2)).toBe('2 200');
      // An offer to go over to HTTP/2 is passed over without TLS, and taken with it.
      expect(await versionOf('--http2')).toBe(scheme === 'http' ? '1.1 200' : '2 200');

      const created = await ask(
        http2,
        '-H',
        'content-type: application/json',
        '-d',
        JSON.stringify(workflow([echo('a')])),
        `${url}/workflows`,
      );
      const { workflow_id: workflowId } = JSON.parse(created) as { workflow_id: string };
      const started = await ask(http2, '-X', 'POST', `${url}/workflows/${workflowId}/execute`);
      const { execution_id: executionId } = JSON.parse(started) as { execution_id: string };
      const stream = await ask(http2, `${url}/workflows/executions/${executionId}/events`);
      expect(stream.match(/(?<=^event: ).*$/gm)).toEqual(EVENTS);

      const socket = new WebSocket(`${url.replace('http', 'ws')}/ws/task/${executionId}`, node);
      const states: string[] = [];
      socket.on('message', (data) => states.push(String(data)));
      await new Promise((resolve, reject) => socket.once('close', resolve).once('error', reject));
      expect(states.at(-1)).toContain('"completed"');

      const options = { baseUrl: url, nodeOptions: node };
      const transports: Transport[] = [
        createGrpcTransport(options),
        createGrpcWebTransport({ ...options, httpVersion: '1.1' }),
        createGrpcWebTransport({ ...options, httpVersion: '2' }),
        createConnectTransport({ ...options, httpVersion: '1.1' }),
        createConnectTransport({ ...options, httpVersion: '2', useBinaryFormat: true }),
      ];
      for (const transport of transports) {
        const health = createClient(HealthService, transport);
        expect(await health.check({ service: 'orchestrator' })).toMatchObject({
          status: HealthCheckResponse_ServingStatus.SERVING,
        });
        const workflows = createClient(WorkflowService, transport);
        const { executionId: id } = await workflows.executeWorkflow({ workflowId, parametersJson: '{}' });
        const events: string[] = [];
        for await (const { event } of workflows.streamEvents({ executionId: id })) events.push(event);
        expect(events).toEqual(EVENTS);
        expect(await workflows.getWorkflowStatus({ executionId: id })).toMatchObject({
          status: 'completed',
          success: true,
          actions: [{ actionId: 'a', status: 'completed' }],
        });
      }
      // As the older program sends it: a request in base64, and the message SERVING in the answer.
      const web = await ask(
        ...['-H', 'content-type: application/grpc-web-text', '--data-binary', 'AAAAAA4KDG9yY2hlc3RyYXRvcg=='],
        `${url}/orchestrator.health.v1.HealthService/Check`,
      );
      expect(Buffer.from(web.slice(0, 12), 'base64').toString('hex')).toBe('00000000020801');
      await stop();
    },
  );

  test('curl reads every GET operation over HTTP/2 as over HTTP/1.1', async ({ api, stack }) => {
    const { port, stop } = await stack.add('api', TLS);
    const flow = await api.createWorkflow(workflow([echo('a')]));
    const id = await api.execute(flow);
    await api.finished(id);
    const ids: Record<string, string> = { workflow_id: flow, execution_id: id, task_id: id, action_id: 'a' };
    const reads = (await endpointsOf())
      .flatMap(({ operations }) => operations)
      .filter(({ method }) => method === 'get');
    for (const { path: template } of reads) {
      const asked = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => ids[name] ?? 'unknown');
      const read = async (version: string) => {
        const args = ['-sS', '--cacert', server.certPath, version, '-o', '/dev/null', '--max-time', '20'];
        const said = '%{http_version} %{http_code} %{content_type}';
        return (await run('curl', [...args, '-w', said, `https://127.0.0.1:${port}${asked}`])).stdout;
      };
      const [old, now] = [await read('--http1.1'), await read('--http2')];
      expect(`${asked} ${now}`).toBe(`${asked} ${old.replace(/^1\.1/, '2')}`);
      expect(now).toMatch(/^2 [234]/);
    }
    await stop();
  });
});
