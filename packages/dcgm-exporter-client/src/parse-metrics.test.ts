import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dcgmFields, fieldOfId } from './field-catalogue.js';
import { parseMetrics } from './parse-metrics.js';

const labels = 'gpu="0",UUID="GPU-a",device="nvidia0",modelName="NVIDIA H100",Hostname="node-1"';
const line = (name: string, value: string, more = '') => `DCGM_FI_${name}{${labels}${more}} ${value}\n`;
const only = (text: string) => parseMetrics(text).readings[0];

describe('one line', () => {
  it.each<[string, string, number, number | undefined]>([
    ['a plain value', line('DEV_GPU_TEMP', '61'), 150, 61],
    ['a fraction', line('PROF_GR_ENGINE_ACTIVE', '0.995630'), 1001, 0.99563],
    ['an exponent', line('DEV_TOTAL_ENERGY_CONSUMPTION', '1.5e+10'), 156, 15_000_000_000],
    ['the name of DCGM 4.6', line('DEV_BOARD_POWER_WATTS', '409.692'), 155, 409.692],
    ['the older name of the throttle bits', line('DEV_CLOCK_THROTTLE_REASONS', '4'), 112, 4],
    ['a timestamp behind the value', line('DEV_GPU_TEMP', '61 1767225600000'), 150, 61],
    ['Windows line ends', line('DEV_GPU_TEMP', '61').replace('\n', '\r\n'), 150, 61],
    ['no line end', line('DEV_GPU_TEMP', '61').trimEnd(), 150, 61],
    ['spaces after commas', line('DEV_GPU_TEMP', '61').replaceAll(',', ', '), 150, 61],
    ['a comma at the end of the labels', line('DEV_GPU_TEMP', '61', ','), 150, 61],
    ['an unescaped quote in a label', line('DEV_GPU_TEMP', '61', ',app="say "hi", twice"'), 150, 61],
    ['unescaped braces in a label', line('DEV_GPU_TEMP', '61', ',app="{a="b"} 99"'), 150, 61],
    ['int32 blank', line('DEV_GPU_TEMP', '2147483632'), 150, undefined],
    ['int32 "not permitted"', line('DEV_GPU_TEMP', '2147483635'), 150, undefined],
    ['int64 blank', line('DEV_MEMORY_TEMP', '9223372036854775792'), 140, undefined],
    ['int64 "not supported"', line('DEV_MEMORY_TEMP', '9223372036854775794'), 140, undefined],
    ['fp64 blank', line('DEV_POWER_USAGE', '140737488355328.000000'), 155, undefined],
    ['fp64 "not supported"', line('DEV_POWER_USAGE', '140737488355330'), 155, undefined],
    ['text blank', line('DEV_POWER_USAGE', '<<<NULL>>>'), 155, undefined],
    ['NaN', line('DEV_POWER_USAGE', 'NaN'), 155, undefined],
    ['+Inf', line('DEV_POWER_USAGE', '+Inf'), 155, undefined],
    [
      'an energy that happens to be 2147483632 mJ',
      line('DEV_TOTAL_ENERGY_CONSUMPTION', '2147483632'),
      156,
      2147483632,
    ],
  ])('%s', (_case, text, fieldId, expected) => {
    const parsed = parseMetrics(text);
    expect(parsed.faults).toEqual([]);
    expect(parsed.readings[0]?.values.get(fieldId)).toBe(expected);
    expect(parsed.blankCount).toBe(expected === undefined ? 1 : 0);
  });

  it.each<[string, string, string]>([
    ['cut in the name', 'DCGM_FI_DEV_GP', 'syntax'],
    ['cut in the labels', 'DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-', 'syntax'],
    ['cut before the value', `DCGM_FI_DEV_GPU_TEMP{${labels}} `, 'syntax'],
    ['a word as the value', `DCGM_FI_DEV_GPU_TEMP{${labels}} warm`, 'syntax'],
    ['two values', `DCGM_FI_DEV_GPU_TEMP{${labels}} 61 warm`, 'syntax'],
    ['labels cut out by hand', 'DCGM_FI_DEV_GPU_TEMP{gpu="0",...,modelName="X",...} 32', 'labels'],
    ['labels without quotes', 'DCGM_FI_DEV_GPU_TEMP{gpu=0} 32', 'labels'],
    ['no UUID', 'DCGM_FI_DEV_GPU_TEMP{gpu="0"} 32', 'no-gpu'],
    [
      'the exporter could not print the value',
      `DCGM_FI_DEV_GPU_TEMP{${labels}} ERROR - FAILED TO CONVERT TO STRING`,
      'unconvertible',
    ],
    ['HTML', '<html><body>502 Bad Gateway</body></html>', 'syntax'],
  ])('%s: reported with its number, the rest is kept', (_case, bad, reason) => {
    const parsed = parseMetrics(
      `# HELP x y\n${line('DEV_SM_CLOCK', '1980')}${bad}\n${line('DEV_GPU_TEMP', '59')}`,
    );
    expect(parsed.faults).toEqual([{ lineNumber: 3, reason, text: bad }]);
    expect([...(parsed.readings[0]?.values ?? [])]).toEqual([
      [100, 1980],
      [150, 59],
    ]);
  });

  it('lists the first 100 bad lines and counts all', () => {
    const parsed = parseMetrics('garbage!\n'.repeat(250));
    expect(parsed.faults).toHaveLength(100);
    expect(parsed.faultCount).toBe(250);
  });
});

describe('labels', () => {
  it.each<[string, string]>([
    ['1.x', 'gpu="3", uuid="GPU-z"'],
    ['2021', 'gpu="3",UUID="GPU-z",device="nvidia3",modelName="NVIDIA A100",Hostname="n"'],
    ['NVLink rows of 4.4.1', 'gpu="3",gpu_uuid="GPU-z",model_name="NVIDIA A100",Hostname="n"'],
    ['main', 'gpu="3",UUID="GPU-z",pci_bus_id="00000000:07:00.0",modelName="NVIDIA A100",hostname="n"'],
  ])('%s', (_version, text) => {
    expect(only(`DCGM_FI_DEV_GPU_TEMP{${text}} 1\n`)).toMatchObject({
      gpuUuid: 'GPU-z',
      gpuIndex: 3,
      gpuInstanceId: '',
      ...(text.includes('odel')
        ? { modelName: 'NVIDIA A100', hostname: 'n' }
        : { modelName: '', hostname: '' }),
    });
  });

  it('names a MIG instance, which is another entity than its GPU', () => {
    const parsed = parseMetrics(
      line('PROF_GR_ENGINE_ACTIVE', '0.9') +
        line('PROF_GR_ENGINE_ACTIVE', '0.8', ',GPU_I_PROFILE="1g.5gb",GPU_I_ID="13"'),
    );
    expect(
      parsed.readings.map((one) => [one.gpuInstanceId, one.gpuInstanceProfile, one.values.get(1001)]),
    ).toEqual([
      ['', '', 0.9],
      ['13', '1g.5gb', 0.8],
    ]);
  });

  it.each<[string, string, object]>([
    [
      'Kubernetes',
      ',container="c",namespace="ns",pod="p",pod_uid="u"',
      { pod: 'p', namespace: 'ns', podUid: 'u' },
    ],
    [
      'Kubernetes, old names',
      ',container_name="c",pod_namespace="ns",pod_name="p"',
      { pod: 'p', container: 'c' },
    ],
    ['an HPC job', ',hpc_job="4711"', { hpcJob: '4711' }],
  ])('%s', (_case, more, expected) => {
    expect(only(line('DEV_GPU_TEMP', '1', more))?.attributions).toMatchObject([expected]);
  });

  it('that are empty attribute nothing', () => {
    expect(only(line('DEV_GPU_TEMP', '1', ',pod="",pod_uid=""'))?.attributions).toEqual([]);
  });

  it('of other things than a GPU are left alone', () => {
    const parsed = parseMetrics(
      'DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL{nvlink="3",gpu="0",gpu_uuid="GPU-a"} 9\n' +
        'DCGM_FI_DEV_NVSWITCH_TEMP{nvswitch="nvswitch0",Hostname="n"} 40\n' +
        'go_goroutines 12\npromhttp_metric_handler_requests_total{code="200"} 3\n',
    );
    expect(parsed).toMatchObject({ readings: [], faultCount: 0 });
  });

  it('the start of the exporter is read where it says so', () => {
    expect(parseMetrics('process_start_time_seconds 1.76722560125e+09\n').exporterStartedAtS).toBe(
      1_767_225_601.25,
    );
  });
});

describe('rows that repeat a device', () => {
  const pod = (name: string) => `,pod="${name}"`;
  const value = (text: string, fieldId: number) =>
    parseMetrics(text).readings.map((one) => one.values.get(fieldId));

  it('copies for two pods are one value', () => {
    const text = line('DEV_GPU_UTIL', '60', pod('a')) + line('DEV_GPU_UTIL', '60', pod('b'));
    expect(value(text, 203)).toEqual([60]);
    expect(only(text)?.attributions.map((one) => one.pod)).toEqual(['a', 'b']);
  });

  it('shares of the processes are added', () => {
    const text =
      line('DEV_FB_USED', '100', pod('a')) +
      line('DEV_FB_USED', '250', pod('b')) +
      line('DEV_FB_USED', '100', pod('c'));
    expect(value(text, 252)).toEqual([450]);
  });

  it('shares of utilisation add up to 100 at most', () => {
    expect(value(line('DEV_GPU_UTIL', '70', pod('a')) + line('DEV_GPU_UTIL', '60', pod('b')), 203)).toEqual([
      100,
    ]);
  });

  it('an energy counter is never added: the later read holds', () => {
    const text =
      line('DEV_TOTAL_ENERGY_CONSUMPTION', '1000', ',hpc_job="1"') +
      line('DEV_TOTAL_ENERGY_CONSUMPTION', '1007', ',hpc_job="2"') +
      line('DEV_TOTAL_ENERGY_CONSUMPTION', '1003', ',hpc_job="3"');
    expect(value(text, 156)).toEqual([1007]);
  });

  it('of two scrapes in one text the second holds', () => {
    expect(value(line('DEV_GPU_TEMP', '60') + line('DEV_GPU_TEMP', '58'), 150)).toEqual([58]);
  });
});

describe('the catalogue', () => {
  it('has each id once and each name once', () => {
    const ids = dcgmFields.map((field) => field.id);
    const names = dcgmFields.flatMap((field) => [field.name, ...field.aliases]);
    expect(new Set(ids).size).toBe(ids.length);
    expect(new Set(names).size).toBe(names.length);
  });

  it('knows a field by its id', () => {
    expect(fieldOfId(156)).toMatchObject({ unit: 'millijoules', kind: 'counter', byDefault: true });
    expect(fieldOfId(9999)).toBeUndefined();
  });
});

describe('any scrape', () => {
  const field = fc.constantFrom(...dcgmFields);
  const rows = fc.uniqueArray(
    fc.record({
      gpu: fc.integer({ min: 0, max: 7 }),
      instance: fc.constantFrom('', '7', '13'),
      field,
      value: fc.nat(),
    }),
    { selector: (row) => `${row.gpu}/${row.instance}/${row.field.id}`, maxLength: 60 },
  );

  it('that is written is read back as it was, by either name, in any order', () => {
    fc.assert(
      fc.property(rows, fc.boolean(), (written, newNames) => {
        const text = written.map((row) => {
          const name = newNames ? (row.field.aliases[0] ?? row.field.name) : row.field.name;
          const mig = row.instance === '' ? '' : `,GPU_I_ID="${row.instance}"`;
          return `DCGM_FI_${name}{gpu="${row.gpu}",UUID="GPU-${row.gpu}"${mig}} ${row.value}\n`;
        });
        const parsed = parseMetrics(text.join(''));
        expect(parsed.faultCount).toBe(0);
        const read = parsed.readings.flatMap((one) =>
          [...one.values].map(([id, value]) => `${one.gpuUuid}/${one.gpuInstanceId}/${id}=${value}`),
        );
        // A natural number may happen to be a sentinel of 32 bits.
        const expected = written
          .filter((row) => row.value < 0x7ffffff0 || row.value > 0x7ffffff3)
          .map((row) => `GPU-${row.gpu}/${row.instance}/${row.field.id}=${row.value}`);
        expect(read.filter((one) => !/=214748363[2-5]$/.test(one)).sort()).toEqual(expected.sort());
      }),
    );
  });

  it('with bad lines between keeps every good line', () => {
    const junk = fc.string({ maxLength: 40 }).map((text) => `!${text.replaceAll(/[\r\n]/g, '')}`);
    fc.assert(
      fc.property(fc.array(fc.option(junk, { nil: undefined }), { maxLength: 40 }), (places) => {
        const text = places.map((bad, index) =>
          bad === undefined ? `DCGM_FI_DEV_GPU_TEMP{gpu="0",UUID="GPU-${index}"} ${index}` : bad,
        );
        const parsed = parseMetrics(text.join('\n'));
        expect(parsed.readings).toHaveLength(places.filter((bad) => bad === undefined).length);
        expect(parsed.faultCount).toBe(places.filter((bad) => bad !== undefined).length);
      }),
    );
  });

  it('of any bytes at all is read without a throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(() => parseMetrics(Buffer.from(bytes))).not.toThrow();
      }),
    );
    const pieces = fc.array(
      fc.constantFrom(
        'DCGM_FI_DEV_GPU_TEMP',
        '{',
        '}',
        'UUID="',
        '"',
        ',',
        '=',
        '\n',
        ' ',
        '1',
        'gpu="0"',
        '\r',
      ),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(pieces, (parts) => {
        expect(() => parseMetrics(parts.join(''))).not.toThrow();
      }),
    );
  });
});
