/** `InfoService`: the same as `GET /info`. */
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import type { ConnectRouter } from '@connectrpc/connect';
import { informationAnswer } from '../../schemas/answers.ts';
import { InfoService } from './generated/info_pb.ts';
import type { HttpCalls } from './http-calls.ts';

export function infoService(router: ConnectRouter, calls: HttpCalls): void {
  router.service(InfoService, {
    async getInfo(_request, context) {
      const { text } = await calls.send(context, { method: 'GET', path: '/info' });
      const info = informationAnswer.parse(JSON.parse(text));
      return {
        serviceName: info.service,
        version: info.version,
        description: info.description,
        ...(info.build_time === undefined ? {} : { buildTime: timestampFromDate(new Date(info.build_time)) }),
        commitSha: info.commit_sha ?? '',
        metadata: {
          capabilities: info.capabilities.join(','),
          routes_count: String(info.routes_count),
          uptime_seconds: String(info.uptime_seconds),
        },
      };
    },
  });
}
