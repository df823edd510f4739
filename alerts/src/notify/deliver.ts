/** Brings one message to one channel. Resolves once the receiver has it; rejects when that is not known. */
import { messageOf, PoolmeterError } from '@poolmeter/domain';
import { createTransport } from 'nodemailer';
import type { Channel } from './channels.js';
import {
  alertmanagerAlerts,
  mailText,
  pagerdutyEvents,
  slackBody,
  webhookBody,
  webhookSignature,
  type Message,
} from './message-forms.js';

export interface DeliveryOptions {
  /** Secrets by the names that the channels give. */
  readonly secrets: Readonly<Record<string, string | undefined>>;
  readonly nowMs: number;
  readonly signal: AbortSignal;
}

const TIMEOUT_MS = 10_000;

export async function deliver(channel: Channel, message: Message, options: DeliveryOptions): Promise<void> {
  switch (channel.kind) {
    case 'alertmanager': {
      const url = `${channel.url.replace(/\/$/, '')}/api/v2/alerts`;
      await post(url, { body: alertmanagerAlerts(message, options.nowMs), message, options });
      return;
    }
    case 'webhook': {
      const secret = secretOf(channel.secret_env, options);
      const body = webhookBody(message);
      const signature = webhookSignature(JSON.stringify(body), { secret, atMs: options.nowMs });
      await post(channel.url, { body, message, options, headers: { 'x-poolmeter-signature': signature } });
      return;
    }
    case 'slack':
      await post(secretOf(channel.url_env, options), { body: slackBody(message), message, options });
      return;
    case 'pagerduty':
      for (const body of pagerdutyEvents(message, secretOf(channel.routing_key_env, options)))
        await post(channel.url, { body, message, options });
      return;
    case 'email':
      await mail(channel, message, options);
  }
}

function secretOf(name: string, options: DeliveryOptions): string {
  const value = options.secrets[name] ?? '';
  if (value !== '') return value;
  throw new PoolmeterError('config.invalid', `The channel needs the environment variable ${name}: set it.`);
}

async function post(
  url: string,
  of: {
    readonly body: unknown;
    readonly message: Message;
    readonly options: DeliveryOptions;
    readonly headers?: Readonly<Record<string, string>>;
  },
): Promise<void> {
  let answer: Response;
  try {
    answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': of.message.id, ...of.headers },
      body: JSON.stringify(of.body),
      redirect: 'error',
      signal: AbortSignal.any([of.options.signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
  } catch (cause) {
    throw new PoolmeterError('dependency.unavailable', `The receiver did not answer: ${messageOf(cause)}.`, {
      retriable: true,
      cause,
    });
  }
  // The body is read and dropped, so that the connection can be used again.
  await answer.arrayBuffer();
  if (answer.ok) return;
  const retriable = answer.status >= 500 || answer.status === 408 || answer.status === 429;
  throw new PoolmeterError('dependency.refused', `The receiver answered ${answer.status}.`, { retriable });
}

async function mail(
  channel: Extract<Channel, { kind: 'email' }>,
  message: Message,
  options: DeliveryOptions,
): Promise<void> {
  const transport = createTransport({
    url: secretOf(channel.smtp_url_env, options),
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
  });
  try {
    await transport.sendMail({
      ...mailText(message),
      from: channel.from,
      to: channel.to,
      // Mail systems drop a second message with the same id.
      messageId: `<${message.id}@poolmeter>`,
    });
  } catch (cause) {
    throw new PoolmeterError(
      'dependency.unavailable',
      `The mail server did not take the message: ${messageOf(cause)}.`,
      {
        retriable: true,
        cause,
      },
    );
  } finally {
    transport.close();
  }
}
