/** Three definitions of this repository as `defineWorkflow` writes them. */
import { cel, defineWorkflow } from '../../sdk/src/index.ts';

export const exampleSaga = defineWorkflow(
  {
    name: 'Order Saga',
    description:
      'Reserves stock, charges the customer and ships; what was done is undone, last first, when a later step fails',
    tags: ['orders', 'saga'],
    parameters: {
      order_id: { type: 'string', description: 'Id of the order', required: true, min_length: 1 },
      customer_id: { type: 'string', description: 'Who pays', required: true, min_length: 1 },
      amount: { type: 'number', description: 'What is charged', required: true },
      items: { type: 'array', description: 'What is ordered', required: true, min_length: 1 },
    },
    on_failure: 'compensate',
  },
  ({ params: { order_id, customer_id, amount, items }, action }) => {
    const post = (service: string, endpoint: string, parameters: Record<string, unknown>) => ({
      action_type: 'service_call' as const,
      config: { service, endpoint, method: 'POST' as const, parameters },
    });
    const reserve = action('reserve_stock', 'service_call', {
      name: 'Reserve Stock',
      config: post('inventory_service', '/reservations', { order_id, items }).config,
      compensate: ({ response }) =>
        post('inventory_service', '/reservations/release', { order_id, reservation: response }),
    });
    const charge = action('charge_payment', 'service_call', {
      name: 'Charge Payment',
      config: post('payment_service', '/charges', { order_id, customer_id, amount }).config,
      depends_on: [reserve],
      compensate: ({ response }) => post('payment_service', '/refunds', { order_id, charge: response }),
    });
    const ship = action('ship_order', 'service_call', {
      name: 'Ship Order',
      config: post('shipping_service', '/shipments', { order_id, items }).config,
      depends_on: [charge],
    });
    return { order_id, shipment: ship.output.response };
  },
);

export const exampleApproval = defineWorkflow(
  {
    name: 'Approval',
    description: 'Asks somebody, waits for the decision, and tells what it was',
    tags: ['approval'],
    parameters: {
      subject: { type: 'string', description: 'What is to be decided', required: true, min_length: 1 },
    },
  },
  ({ params: { subject }, action }) => {
    const ask = action('ask', 'approval', {
      name: 'Ask',
      description: 'Waits up to three days; whoever is of the tenant may decide',
      config: { message: subject, timeout_seconds: 259_200, on_timeout: 'reject', on_reject: 'continue' },
    });
    const { approved, by, comment } = ask.output;
    action('tell_approved', 'notification', {
      name: 'Tell Approved',
      config: { message: `Approved by ${by}: ${subject}`, channels: ['log'] },
      when: cel`${approved}`,
      depends_on: [ask],
    });
    action('tell_rejected', 'notification', {
      name: 'Tell Rejected',
      config: { message: `Not approved: ${subject}`, channels: ['log'] },
      when: cel`!${approved}`,
      depends_on: [ask],
    });
    return { approved, by, comment };
  },
);

export const exampleQuality = defineWorkflow(
  {
    name: 'Document Quality Analysis',
    description: 'Analyze document for quality and insights',
    parameters: { document_url: { type: 'string', description: 'Document URL to analyze', required: true } },
  },
  ({ params, action }) => {
    const fetched = action('fetch_doc', 'service_call', {
      name: 'Fetch Document',
      config: { service: 'source_agent', endpoint: '/fetch', method: 'POST', parameters: { url: params.document_url } },
    });
    action('analyze_quality', 'service_call', {
      name: 'Analyze Quality',
      config: {
        service: 'analysis_service',
        endpoint: '/analyze',
        method: 'POST',
        parameters: { content: fetched.output.response.content },
      },
      depends_on: [fetched],
    });
  },
);
