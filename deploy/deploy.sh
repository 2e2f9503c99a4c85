#!/bin/sh
# Installs one environment: `make deploy ENV=prod IMAGE_TAG=1.2.3 NAMESPACE=orchestrator`. First the migration runs to its end, then
# everything else follows; it ends with code 0 when every Deployment has been replaced. IMAGE is the image without its tag.
#   deploy.sh render    only writes the kustomization of ENV, IMAGE_TAG and NAMESPACE, and prints its folder
#   deploy.sh deploy    installs it
set -eu
cd "$(dirname "$0")"

fail() {
  echo "deploy: $*" >&2
  exit 1
}

action=${1:-deploy}
environment=${ENV:-dev}
overlay="overlays/$environment"
kubectl=${KUBECTL:-kubectl}
secret=orchestrator-secrets
job=orchestrator-migrate
# Seconds. The Job gives up by itself before.
migration_timeout=${MIGRATION_TIMEOUT:-960}
rollout_timeout=${ROLLOUT_TIMEOUT:-900}

case $environment in *[!a-z0-9-]* | '') fail "ENV must be one of $(ls overlays | tr '\n' ' ')" ;; esac
[ -f "$overlay/kustomization.yaml" ] || fail "ENV must be one of $(ls overlays | tr '\n' ' ')"
case ${IMAGE_TAG:-} in *[!A-Za-z0-9_.-]* | [.-]*) fail "'$IMAGE_TAG' is no tag of an image" ;; esac
case ${IMAGE:-} in *[!A-Za-z0-9_./:-]*) fail "'$IMAGE' is no name of an image" ;; esac
case ${NAMESPACE:-} in *[!a-z0-9-]* | -* | *-) fail "'$NAMESPACE' is no name of a namespace" ;; esac
namespace=${NAMESPACE:-$(sed -n 's/^namespace: *//p' "$overlay/kustomization.yaml")}

folder=".build/$environment"
mkdir -p "$folder"
cat >"$folder/kustomization.yaml" <<YAML
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: $namespace
resources:
  - ../../$overlay
images:
  - name: bullmq-orchestrator
    newName: ${IMAGE:-bullmq-orchestrator}
    newTag: '${IMAGE_TAG:-0.0.0}'
YAML

if [ "$action" = render ]; then
  echo "$folder"
  exit 0
fi
[ "$action" = deploy ] || fail "'$action' is not known: render or deploy"
[ -n "${IMAGE_TAG:-}" ] || fail 'IMAGE_TAG is missing: what is installed has to be named'

"$kubectl" get "namespace/$namespace" >/dev/null 2>&1 || "$kubectl" create namespace "$namespace"
"$kubectl" get "secret/$secret" -n "$namespace" >/dev/null ||
  fail "the secret $secret is missing in $namespace; docs/deployment.md says what it contains"

# A Job cannot be changed.
"$kubectl" delete "job/$job" -n "$namespace" --ignore-not-found --wait=true
"$kubectl" apply -k "$folder" -l app.kubernetes.io/component=migrate
waited=0
while :; do
  ended=$("$kubectl" get "job/$job" -n "$namespace" -o 'jsonpath={.status.conditions[?(@.status=="True")].type}')
  case " $ended " in
    *' Complete '*) break ;;
    *' Failed '*)
      "$kubectl" logs "job/$job" -n "$namespace" --tail=50 >&2 || true
      fail 'the migration failed; nothing else was changed'
      ;;
  esac
  [ "$waited" -lt "$migration_timeout" ] || fail "the migration has not ended within $migration_timeout s; nothing else was changed"
  sleep 2
  waited=$((waited + 2))
done

"$kubectl" apply -k "$folder"
for deployment in $("$kubectl" get deployments -n "$namespace" -l app.kubernetes.io/name=orchestrator -o name); do
  "$kubectl" rollout status "$deployment" -n "$namespace" --timeout="${rollout_timeout}s"
done
