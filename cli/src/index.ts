export { openDataFolder, type DataFolder } from './data-folder.js';
export { createApiClient, type ApiClient } from './api-client.js';
export { readEndpoint, type Endpoint } from './endpoint-file.js';
export { createOrigin, type Origin } from './up/api.js';
export { historyChunks, type HistoryChunk } from './up/back-fill-history.js';
export { startParts, type Parts } from './up/embedded-parts.js';
export { createServices, createUpPipeline, openStores, type Stores } from './up/services.js';
export { upOptions, type UpFlags, type UpOptions } from './up/up-options.js';
