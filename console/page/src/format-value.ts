/** Numbers with their units, as short as an operator needs them. Units are Grafana's ids. */

export const MISSING = '–';

const DECIMAL = ['', 'k', 'M', 'G', 'T', 'P', 'E'];
const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

interface Scale {
  readonly suffix: string;
  readonly base?: 1000 | 1024;
}

const SCALED: Readonly<Record<string, Scale>> = {
  short: { suffix: '', base: 1000 },
  bytes: { suffix: 'B', base: 1024 },
  decbytes: { suffix: 'B', base: 1000 },
  Bps: { suffix: 'B/s', base: 1000 },
  binBps: { suffix: 'B/s', base: 1024 },
  bps: { suffix: 'b/s', base: 1000 },
  watt: { suffix: 'W', base: 1000 },
  joule: { suffix: 'J', base: 1000 },
  hertz: { suffix: 'Hz', base: 1000 },
  watth: { suffix: 'Wh', base: 1000 },
  cps: { suffix: 'c/s', base: 1000 },
  ops: { suffix: 'ops/s', base: 1000 },
  reqps: { suffix: 'req/s', base: 1000 },
  rps: { suffix: 'rd/s', base: 1000 },
  wps: { suffix: 'wr/s', base: 1000 },
  iops: { suffix: 'io/s', base: 1000 },
  mps: { suffix: 'msg/s', base: 1000 },
};

const PLAIN: Readonly<Record<string, string>> = {
  none: '',
  celsius: '°C',
  kwatt: 'kW',
  kwatth: 'kWh',
  h: 'h',
  percent: '%',
};

const SECONDS_PER: Readonly<Record<string, number>> = {
  ns: 1e-9,
  µs: 1e-6,
  us: 1e-6,
  ms: 1e-3,
  s: 1,
  m: 60,
  d: 86_400,
};
const CURRENCIES: Readonly<Record<string, string>> = { currencyUSD: '$', currencyEUR: '€', currencyGBP: '£' };

/** `null` is a dash, never a zero. */
export function formatValue(value: number | null, unit = 'none', decimals?: number): string {
  if (value === null || Number.isNaN(value)) return MISSING;
  if (unit === 'percentunit') return `${fixed(value * 100, decimals)} %`;
  const seconds = SECONDS_PER[unit];
  if (seconds !== undefined) return formatSeconds(value * seconds, decimals);
  if (unit.startsWith('dateTime')) return formatTime(value);
  const currency = CURRENCIES[unit];
  if (currency !== undefined)
    return `${value < 0 ? '−' : ''}${currency}${fixed(Math.abs(value), decimals ?? 2)}`;
  if (unit.startsWith('suffix:')) return withUnit(fixed(value, decimals), unit.slice(7).trim());
  if (unit.startsWith('prefix:')) return `${unit.slice(7)}${fixed(value, decimals)}`;
  if (unit === 'rotmhz' || unit === 'megahertz')
    return scaled(value * 1e6, { suffix: 'Hz', base: 1000 }, decimals);
  const scale = SCALED[unit];
  if (scale !== undefined) return scaled(value, scale, decimals);
  return withUnit(fixed(value, decimals), PLAIN[unit] ?? unit);
}

function withUnit(number: string, unit: string): string {
  return unit === '' ? number : `${number} ${unit}`;
}

function scaled(value: number, { suffix, base = 1000 }: Scale, decimals: number | undefined): string {
  const names = base === 1024 ? BINARY : DECIMAL;
  const size = Math.abs(value);
  const power =
    size < base ? 0 : Math.min(names.length - 1, Math.floor(Math.log(size) / Math.log(base) + 1e-9));
  return withUnit(fixed(value / base ** power, decimals), `${names[power] ?? ''}${suffix}`);
}

function formatSeconds(value: number, decimals: number | undefined): string {
  const size = Math.abs(value);
  if (size === 0) return '0 s';
  if (size < 1e-3) return `${fixed(value * 1e6, decimals)} µs`;
  if (size < 1) return `${fixed(value * 1e3, decimals)} ms`;
  if (size < 120) return `${fixed(value, decimals)} s`;
  if (size < 7_200) return `${fixed(value / 60, decimals)} min`;
  return size < 172_800 ? `${fixed(value / 3_600, decimals)} h` : `${fixed(value / 86_400, decimals)} d`;
}

/** Three digits that count, unless the panel says how many decimals. */
function fixed(value: number, decimals: number | undefined): string {
  const size = Math.abs(value);
  const places =
    decimals ??
    (size === 0 || Number.isInteger(value) || size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.095 ? 2 : 3);
  const text = value.toFixed(places);
  return (decimals === undefined && text.includes('.') ? text.replace(/\.?0+$/, '') : text).replace(
    /^-/,
    '−',
  );
}

const pad = (value: number) => String(value).padStart(2, '0');

/** In the reader's own time zone. */
export function formatTime(ms: number): string {
  const at = new Date(ms);
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

/** A time as short as its axis allows: the day where days are shown, the time of day otherwise. */
export function formatTick(ms: number, spanMs: number): string {
  const text = formatTime(ms);
  const time = text.slice(11, 16);
  if (spanMs <= 86_400_000) return time;
  return time === '00:00' ? text.slice(5, 10) : `${text.slice(5, 10)} ${time}`;
}

/** `12 s ago`, `5 min ago`, `3 h ago`, `2 d ago`; a time to come is `now`. */
export function formatAge(ms: number): string {
  return ms < 1_000 ? 'now' : `${formatSeconds(Math.round(ms / 1_000), 0)} ago`;
}
