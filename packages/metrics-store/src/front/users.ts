/** Who asks. The engine has no users of its own, so the front keeps two: one that may do all and one that may read. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { FrontError } from './clickhouse-error.js';

export interface FrontUser {
  readonly name: string;
  readonly password: string;
  readonly mayOnlyRead: boolean;
}

export function authenticate(
  users: readonly FrontUser[],
  headers: IncomingHttpHeaders,
  parameters: URLSearchParams,
): FrontUser {
  const given = credentialsOf(headers, parameters);
  const user = users.find((candidate) => candidate.name === given.name);
  // Compared even when the name is unknown, so that the time tells nothing about names.
  const matches = isSame(user?.password ?? '', given.password);
  if (user === undefined || !matches) {
    throw new FrontError(
      516,
      'AUTHENTICATION_FAILED',
      `${given.name}: Authentication failed: password is incorrect, or there is no user with such name`,
    );
  }
  return user;
}

function credentialsOf(
  headers: IncomingHttpHeaders,
  parameters: URLSearchParams,
): { name: string; password: string } {
  const basic = /^Basic\s+(\S+)$/i.exec(headers.authorization ?? '')?.[1];
  if (basic !== undefined) {
    const text = Buffer.from(basic, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    return { name: text.slice(0, colon) || 'default', password: text.slice(colon + 1) };
  }
  return {
    name: single(headers['x-clickhouse-user']) ?? parameters.get('user') ?? 'default',
    password: single(headers['x-clickhouse-key']) ?? parameters.get('password') ?? '',
  };
}

function single(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}

function isSame(expected: string, given: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(expected), digest(given));
}
