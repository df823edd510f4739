import type { Logger } from '@poolmeter/service';
import type { Principal } from './principal.js';

/** What every request carries. `principal` is there under `/v1`, where nothing runs without a valid token. */
export interface ApiEnv {
  Variables: {
    principal: Principal;
    requestId: string;
    /** Writes lines that carry the request's id. */
    logger: Logger;
  };
}
