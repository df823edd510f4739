import type { TokenStore } from '@poolmeter/http-api';
import { isPoolmeterError } from '@poolmeter/domain';
import { readEndpoint } from '../endpoint-file.js';

export interface LocalToken {
  readonly id: string;
  readonly token: string;
}

/** The operator token of this folder: the one of the last run while it is good, else a new one. */
export async function localToken(dataDir: string, tokens: TokenStore): Promise<LocalToken> {
  const before = await readEndpoint(dataDir).catch((fault: unknown) => {
    // A damaged file is written anew below; its token, if any, stays unused.
    if (isPoolmeterError(fault) && fault.code === 'storage.corrupt') return undefined;
    throw fault;
  });
  const known = before === undefined ? undefined : await tokens.verify(before.token);
  if (before !== undefined && known !== undefined) return { id: known.tokenId, token: before.token };
  return tokens.create({ name: 'poolmeter up', scopes: ['*'], binding: { kind: 'operator' } });
}
