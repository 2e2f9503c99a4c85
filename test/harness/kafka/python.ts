/** The Python of the system, with the client of Kafka that Debian packages; it is installed when it is missing. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

// A Python that somebody else put on the path has no modules of the system.
const PYTHON = '/usr/bin/python3';
const PACKAGES = ['python3', 'librdkafka1', 'python3-confluent-kafka'];

/** Its path. */
export function findKafkaPython(): string {
  if (hasKafka()) return PYTHON;
  if (process.getuid?.() === 0 && existsSync('/etc/debian_version')) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const waiting = ['-o', 'DPkg::Lock::Timeout=120'];
    const install = ['install', '-y', '--no-install-recommends', ...waiting, '-o', 'Dpkg::Use-Pty=0', ...PACKAGES];
    for (const args of [['update', ...waiting], install]) spawnSync('apt-get', args, { env, stdio: 'ignore' });
    if (hasKafka()) return PYTHON;
  }
  throw new Error(`Brokers of Kafka are needed: install ${PACKAGES.join(', ')} (Debian's packages).`);
}

function hasKafka(): boolean {
  const check = 'import ctypes, confluent_kafka; ctypes.CDLL("librdkafka.so.1").rd_kafka_mock_cluster_new';
  return spawnSync(PYTHON, ['-c', check], { stdio: 'ignore' }).status === 0;
}
