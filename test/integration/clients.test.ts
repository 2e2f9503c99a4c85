/** The programs of docs/clients.md, run as they stand there, in each language that is installed here. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect } from 'vitest';
import { projectRoot } from '../../src/project-root.ts';
import { onBothBackends } from '../support/fixtures.ts';

const run = promisify(execFile);
const ROOT = projectRoot();
const PORT = '8002';
const GOCODE = '/usr/share/gocode';
const GO_PATH = 'go/src/github.com/company/multi-ai-agent/orchestrator';

const folder = mkdtempSync(path.join(tmpdir(), 'clients-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
for (const name of ['gen', 'node_modules']) symlinkSync(path.join(ROOT, name), path.join(folder, name));

function programIn(language: string): string {
  const page = readFileSync(path.join(ROOT, 'docs/clients.md'), 'utf8');
  const found = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(page)?.[1];
  if (found === undefined) throw new Error(`docs/clients.md has no program in ${language}`);
  return found;
}

function succeeds(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const python = ['python3', '/usr/bin/python3'].find((one) => succeeds(one, '-c', 'import grpc, google.protobuf'));

/** The Debian package. With version 1.3 of golang/protobuf, which also satisfies grpc, the messages cannot be read. */
function missingForGo(): string | undefined {
  if (!succeeds('go', 'version')) return 'golang-go';
  const lacks = (module: string) => !existsSync(`${GOCODE}/src/${module}`);
  if (lacks('google.golang.org/grpc')) return 'golang-google-grpc-dev';
  if (lacks('google.golang.org/protobuf')) return 'golang-google-protobuf-dev';
  return lacks('github.com/golang/protobuf/proto/registry.go') ? 'golang-github-golang-protobuf-1-5-dev' : undefined;
}

interface Program {
  language: string;
  file: string;
  /** Undefined: it can run. */
  missing: string | undefined;
  command(file: string): [string, string[], Record<string, string>?];
}

const PROGRAMS: Program[] = [
  {
    language: 'go',
    file: 'program.go',
    missing: missingForGo(),
    command: (file) => {
      mkdirSync(path.join(folder, GO_PATH), { recursive: true });
      symlinkSync(path.join(ROOT, 'gen/go'), path.join(folder, GO_PATH, 'gen'));
      return ['go', ['run', file], { GO111MODULE: 'off', GOPATH: `${path.join(folder, 'go')}:${GOCODE}` }];
    },
  },
  {
    language: 'python',
    file: 'program.py',
    missing: python === undefined ? 'python3-grpcio' : undefined,
    // What it is asked to run must not be kept beside the committed files.
    command: (file) => [python ?? 'python3', ['-B', file], { PYTHONPATH: folder }],
  },
  {
    language: 'ts',
    file: 'program.mts',
    missing: undefined,
    command: (file) => [process.execPath, ['--import', 'tsx', file]],
  },
];

// The clients know nothing of the queue.
const [onOne] = onBothBackends();

describe.each([onOne].flatMap((one) => one ?? []))('a client on $backend', ({ test }) => {
  test.for(PROGRAMS)(
    'in $language finds the service SERVING',
    async ({ language, file, missing, command }, { stack, skip }) => {
      if (missing !== undefined) {
        process.stdout.write(`not run: clients.test.ts in ${language}: ${missing}\n`);
        skip(missing);
      }
      const { port, stop } = await stack.add('api', { PORT }).catch(() => stack.add('api'));
      try {
        writeFileSync(
          path.join(folder, file),
          programIn(language).replaceAll(`localhost:${PORT}`, `localhost:${port}`),
        );
        const [program, args, more = {}] = command(file);
        const { stdout } = await run(program, args, { cwd: folder, env: { ...process.env, ...more } });
        expect(stdout.trim()).toBe('SERVING (1)');
      } finally {
        await stop();
      }
    },
  );

  test('in Python is imported from inside of gen/python too', async ({ skip }) => {
    if (python === undefined) {
      process.stdout.write('not run: clients.test.ts inside of gen/python: python3-grpcio\n');
      skip('python3-grpcio');
      return;
    }
    const program =
      'import health_pb2_grpc, info_pb2_grpc, orchestrator_pb2_grpc; print(orchestrator_pb2_grpc.ToolServiceStub.__name__)';
    const { stdout } = await run(python, ['-B', '-c', program], { cwd: path.join(ROOT, 'gen/python') });
    expect(stdout.trim()).toBe('ToolServiceStub');
  });
});
