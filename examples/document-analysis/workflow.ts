/** fetch -> (quality, readability, entities at the same time) -> store -> notify */
export function documentWorkflow(services: { sourceUrl: string; analysisUrl: string; storeUrl: string }): object {
  // No `depends_on`: each action names in its templates what it needs, and that is what it waits for.
  const analysis = (name: string) => ({
    action_id: name,
    action_type: 'service_call',
    config: {
      url: services.analysisUrl,
      endpoint: `/${name}`,
      method: 'POST',
      parameters: { content: '{{fetch.response.content}}' },
    },
  });
  const results = {
    document: '{{document}}',
    sha256: '{{fetch.response.sha256}}',
    quality: '{{quality.response}}',
    readability: '{{readability.response}}',
    entities: '{{entities.response}}',
  };
  return {
    name: 'document-analysis',
    description: 'Analyses one Markdown document',
    tags: ['example'],
    parameters: [{ name: 'document', type: 'string', description: 'A path below node_modules', required: true }],
    actions: [
      {
        action_id: 'fetch',
        action_type: 'service_call',
        config: {
          url: services.sourceUrl,
          endpoint: '/fetch',
          method: 'POST',
          parameters: { document: '{{document}}' },
        },
      },
      analysis('quality'),
      analysis('readability'),
      analysis('entities'),
      {
        action_id: 'store',
        action_type: 'http_request',
        config: { url: `${services.storeUrl}/documents`, method: 'PUT', json: results },
      },
      {
        action_id: 'notify',
        action_type: 'notification',
        depends_on: ['store'],
        config: {
          message: '{{document}} has quality {{quality.response.score}} and is stored as {{store.body.id}}',
          channels: ['log'],
        },
      },
    ],
    output: { ...results, stored_as: '{{store.body.id}}', notified: '{{notify.delivered}}' },
  };
}
