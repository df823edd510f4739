/** Questions to the ClickHouse of a running `up`, as a person's own ClickHouse tool would ask them. */
import type { Endpoint } from 'poolmeter';

/** The rows of a SELECT. Whether UInt64 values come as text or as numbers is the server's setting. */
export async function askClickHouse<Row>({ clickhouse }: Endpoint, sql: string): Promise<Row[]> {
  const url = new URL(clickhouse.url);
  const credentials = Buffer.from(`${url.username}:${url.password}`).toString('base64');
  url.username = '';
  url.password = '';
  url.searchParams.set('database', clickhouse.database);
  const answer = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Basic ${credentials}` },
    body: `${sql} FORMAT JSON`,
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`ClickHouse answered ${answer.status}: ${text}`);
  return (JSON.parse(text) as { data: Row[] }).data;
}
