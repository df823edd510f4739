import { describe, expect, it } from 'vitest';
import { multipartFields } from './multipart.js';

const type = 'multipart/form-data; boundary=edge';

describe('multipart fields', () => {
  it('come out as they went in, blank lines and umlauts included', () => {
    const body = [
      '--edge',
      'Content-Disposition: form-data; name="query"',
      '',
      "SELECT '\r\n\r\nü --edge'",
      '--edge',
      'Content-Disposition: form-data; name="param_a"',
      'Content-Type: text/plain',
      '',
      '',
      '--edge--',
      '',
    ].join('\r\n');
    expect([...multipartFields(Buffer.from(body), type)]).toEqual([
      ['query', "SELECT '\r\n\r\nü --edge'"],
      ['param_a', ''],
    ]);
  });

  it('agree with what fetch writes', async () => {
    const form = new FormData();
    form.set('query', 'SELECT {a:String}');
    form.set('param_a', "x\ty'");
    const request = new Request('http://front', { method: 'POST', body: form });
    const fields = multipartFields(
      Buffer.from(await request.arrayBuffer()),
      request.headers.get('content-type') ?? '',
    );
    expect(Object.fromEntries(fields)).toEqual({ query: 'SELECT {a:String}', param_a: "x\ty'" });
  });

  it.each([
    ['', 'multipart/form-data'],
    ['nothing', type],
    ['--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\nhalf', type],
    ['--edge\r\n\r\nno name\r\n--edge--', type],
  ])('are refused when they cannot be read: %j', (body, contentType) => {
    expect(() => multipartFields(Buffer.from(body), contentType)).toThrow(/cannot be read/);
  });
});
