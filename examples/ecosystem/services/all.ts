import type { ServiceDefinition } from '../route.ts';
import { analysisService } from './analysis-service.ts';
import { docStore } from './doc-store.ts';
import { interpreter } from './interpreter.ts';
import { llmGateway } from './llm-gateway.ts';
import { notification } from './notification.ts';
import { reporting } from './reporting.ts';
import { secureAnalyzer } from './secure-analyzer.ts';
import { sourceAgent } from './source-agent.ts';
import { summarizerHub } from './summarizer-hub.ts';

export const SERVICES: readonly ServiceDefinition[] = [
  sourceAgent,
  analysisService,
  reporting,
  llmGateway,
  summarizerHub,
  secureAnalyzer,
  docStore,
  notification,
  interpreter,
];
