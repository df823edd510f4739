export {
  loadPipelineBusConfig,
  loadPipelineConfig,
  PIPELINE_PREFIX,
  pipelineConfigSchema,
  pipelineDefaults,
  type PipelineConfig,
  type PipelineProcessConfig,
} from './config.js';
export { createPipeline, type PipelineComponent, type PipelineOptions } from './create-pipeline.js';
export { deadLetterHeaders } from './dead-letter.js';
export { redriveDeadLetters, type RedriveOptions, type RedriveOutcome } from './redrive.js';
export { pipelineTopics } from './rows-of-message.js';
export { runPipeline, type RunPipelineOptions } from './run-pipeline.js';
