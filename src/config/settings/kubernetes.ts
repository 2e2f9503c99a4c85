/** The settings of the action type kubernetes_job. */
import { z } from 'zod';
import { containerImage, kubernetesNamespace, kubernetesQuantity, kubernetesQueue } from '../../schemas/kubernetes.ts';
import { flag, listMatching, matching, text, whole } from '../types.ts';
import { setting } from './setting.ts';

const variableName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/);

export const kubernetes = {
  kubernetes: {
    enabled: setting('ENABLE_VOLCANO_SCHEDULER', flag(), {
      default: 'false',
      description:
        'true: actions of the type kubernetes_job run Jobs on a Kubernetes cluster with the Volcano scheduler. false: they complete with the status disabled.',
    }),
    namespace: setting('VOLCANO_NAMESPACE', matching('the name of a namespace', kubernetesNamespace), {
      default: 'soma-agent-hub',
      description: 'The namespace of Jobs that name none.',
    }),
    namespaces: setting('KUBERNETES_NAMESPACES', listMatching('names of namespaces', kubernetesNamespace), {
      default: '',
      description:
        'Namespaces that Jobs may name; a list. VOLCANO_NAMESPACE is always one of them. Installations that share a namespace only remove their own Jobs.',
    }),
    queue: setting('VOLCANO_DEFAULT_QUEUE', matching('the name of a queue', kubernetesQueue), {
      default: 'interactive',
      description: 'The Volcano queue of Jobs that name none.',
    }),
    image: setting('VOLCANO_SESSION_IMAGE', matching('the name of an image', containerImage), {
      default: 'python:3.11-slim',
      description: 'The image of Jobs that name none.',
    }),
    cpu: setting('VOLCANO_SESSION_CPU', matching('a quantity, such as 500m', kubernetesQuantity), {
      default: '500m',
      description: 'The CPU request and limit of a pod whose Job does not say.',
    }),
    memory: setting('VOLCANO_SESSION_MEMORY', matching('a quantity, such as 512Mi', kubernetesQuantity), {
      default: '512Mi',
      description: 'The memory request and limit of a pod whose Job does not say.',
    }),
    timeoutSeconds: setting('VOLCANO_JOB_TIMEOUT_SECONDS', whole(1, 604_800), {
      default: '300',
      description: 'Default number of seconds that an action waits for its Job.',
    }),
    kubectl: setting('KUBECTL_BINARY', text(), {
      default: 'kubectl',
      description: 'The kubectl program: a path, or a name to be found in PATH. It runs without a shell.',
    }),
    kubectlVariables: setting('KUBECTL_ENV', listMatching('names of variables', variableName), {
      default: '',
      description:
        'Variables that kubectl gets besides PATH, HOME, KUBECONFIG and KUBERNETES_SERVICE_*, for example for its login at a cloud; a list of names.',
    }),
  },
};
