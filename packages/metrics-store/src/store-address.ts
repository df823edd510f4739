/** Where a ClickHouse is and who asks: from a URL that may carry the credentials. */
import { PoolmeterError } from '@poolmeter/domain';

export interface StoreAddress {
  /** Without credentials: it may stand in messages. */
  readonly url: string;
  readonly username: string;
  readonly password: string;
}

/** The credentials of the URL apply unless they are given apart; messages show the URL without them. */
export function parseStoreAddress(options: {
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
}): StoreAddress {
  let url: URL;
  try {
    url = new URL(options.url);
  } catch (cause) {
    throw new PoolmeterError(
      'config.invalid',
      'The address of ClickHouse cannot be read: write http://host:8123.',
      { cause },
    );
  }
  const username = options.username ?? (decodeURIComponent(url.username) || 'default');
  const password = options.password ?? decodeURIComponent(url.password);
  return { url: url.origin, username, password };
}
