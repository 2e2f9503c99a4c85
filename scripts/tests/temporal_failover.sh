#!/bin/sh
# The name that older pipelines call.
exec "$(dirname "$0")/failover.sh" "$@"
