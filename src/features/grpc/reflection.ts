/** Server reflection (`grpc.reflection.v1` and `v1alpha`): what is served, for tools such as grpcurl. */
import { type DescFile, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Code, type ConnectRouter, type HandlerContext } from '@connectrpc/connect';
import { ServerReflection, type ServerReflectionRequest } from './generated/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as ServerReflectionAlpha } from './generated/grpc/reflection/v1alpha/reflection_pb.ts';
import type { HttpCalls } from './http-calls.ts';

/** Of one stream: a tool asks for each file once. */
const MAX_REQUESTS = 1_000;
/** Needs credentials where they are required, and says nothing of anybody. */
const TWIN = { method: 'GET', path: '/' } as const;

export function reflectionServices(router: ConnectRouter, calls: HttpCalls, files: readonly DescFile[]): void {
  const catalogue = catalogueOf(files);

  async function* serverReflectionInfo(requests: AsyncIterable<ServerReflectionRequest>, context: HandlerContext) {
    await calls.send(context, TWIN);
    let left = MAX_REQUESTS;
    for await (const originalRequest of requests) {
      left -= 1;
      if (left < 0) return;
      const messageResponse = responseTo(catalogue, originalRequest.messageRequest);
      yield { validHost: originalRequest.host, originalRequest, messageResponse };
    }
  }

  router.service(ServerReflection, { serverReflectionInfo });
  // The same messages under another name.
  router.service(ServerReflectionAlpha, { serverReflectionInfo: serverReflectionInfo as never });
}

interface Catalogue {
  services: readonly string[];
  byName: ReadonlyMap<string, DescFile>;
  /** Full names of services, methods, messages, fields and enums. */
  bySymbol: ReadonlyMap<string, DescFile>;
}

function catalogueOf(files: readonly DescFile[]): Catalogue {
  const all = new Map<string, DescFile>();
  const add = (file: DescFile) => {
    if (all.has(file.proto.name)) return;
    all.set(file.proto.name, file);
    for (const one of file.dependencies) add(one);
  };
  for (const file of files) add(file);
  const bySymbol = new Map([...all.values()].flatMap((file) => symbolsOf(file).map((name) => [name, file] as const)));
  const services = files.flatMap((file) => file.services.map(({ typeName }) => typeName));
  return { services: services.sort(), byName: all, bySymbol };
}

function symbolsOf(file: DescFile): string[] {
  type Message = DescFile['messages'][number];
  const ofMessage = (message: Message): string[] => [
    message.typeName,
    ...message.fields.map(({ name }) => `${message.typeName}.${name}`),
    ...message.nestedEnums.map(({ typeName }) => typeName),
    ...message.nestedMessages.flatMap(ofMessage),
  ];
  return [
    ...file.messages.flatMap(ofMessage),
    ...file.enums.map(({ typeName }) => typeName),
    ...file.services.flatMap(({ typeName, methods }) => [
      typeName,
      ...methods.map(({ name }) => `${typeName}.${name}`),
    ]),
  ];
}

function responseTo({ services, byName, bySymbol }: Catalogue, asked: ServerReflectionRequest['messageRequest']) {
  switch (asked.case) {
    case 'listServices': {
      const service = services.map((name) => ({ name }));
      return { case: 'listServicesResponse' as const, value: { service } };
    }
    case 'fileByFilename':
      return fileResponse(byName.get(asked.value), asked.value);
    case 'fileContainingSymbol':
      return fileResponse(bySymbol.get(asked.value), asked.value);
    case 'allExtensionNumbersOfType':
    case 'fileContainingExtension':
    case undefined:
      return errorResponse('There are no extensions');
  }
}

function fileResponse(file: DescFile | undefined, name: string) {
  if (file === undefined) return errorResponse(`There is no '${name.slice(0, 200)}'`);
  const withDependencies = new Set<DescFile>();
  const add = (one: DescFile) => {
    if (withDependencies.has(one)) return;
    withDependencies.add(one);
    for (const dependency of one.dependencies) add(dependency);
  };
  add(file);
  const fileDescriptorProto = [...withDependencies].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: 'fileDescriptorResponse' as const, value: { fileDescriptorProto } };
}

function errorResponse(errorMessage: string) {
  return { case: 'errorResponse' as const, value: { errorCode: Code.NotFound as number, errorMessage } };
}
