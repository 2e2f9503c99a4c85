#!/bin/sh
# The drill of a fail-over of Redis, behind Sentinels and in a Cluster: real servers on loopback, an API and workers under load.
# It ends with code 0 only when no run was lost and no task was committed twice. Arguments are those of vitest.
set -eu
cd "$(dirname "$0")/../.."
node scripts/bootstrap.mjs --build
exec node node_modules/vitest/vitest.mjs run test/faults/scenarios/failover.test.ts "$@"
