/** What the page reads of a classic Grafana dashboard. */

export interface ThresholdStep {
  readonly color: string;
  readonly value: number | null;
}

export interface FieldSettings {
  readonly unit?: string;
  readonly decimals?: number;
  readonly displayName?: string;
  readonly min?: number;
  readonly max?: number;
  readonly noValue?: string;
  readonly mappings?: readonly ValueMapping[];
  readonly thresholds?: { readonly mode?: string; readonly steps?: readonly ThresholdStep[] };
  readonly color?: { readonly mode?: string; readonly fixedColor?: string };
  readonly custom?: Readonly<Record<string, unknown>>;
}

export interface ValueMapping {
  readonly type: string;
  readonly options: Readonly<Record<string, unknown>>;
}

export interface FieldOverride {
  readonly matcher: { readonly id: string; readonly options?: unknown };
  readonly properties: readonly { readonly id: string; readonly value?: unknown }[];
}

export interface BoardPanel {
  readonly id: number;
  readonly type: string;
  readonly title?: string;
  readonly description?: string;
  readonly gridPos?: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly panels?: readonly BoardPanel[];
  readonly options?: Readonly<Record<string, unknown>>;
  readonly fieldConfig?: { readonly defaults?: FieldSettings; readonly overrides?: readonly FieldOverride[] };
  readonly targets?: readonly { readonly rawSql?: string; readonly hide?: boolean }[];
}

export interface BoardVariable {
  readonly name: string;
  readonly label?: string | null;
  readonly type: string;
  readonly hide?: number;
  readonly multi?: boolean;
  readonly includeAll?: boolean;
  readonly current?: { readonly value?: string | readonly string[] } | null;
}

export interface Board {
  readonly uid: string;
  readonly title: string;
  readonly description?: string;
  readonly panels: readonly BoardPanel[];
  readonly templating?: { readonly list?: readonly BoardVariable[] };
}

/** Variables that a person may choose. */
export function visibleVariables(board: Board): BoardVariable[] {
  return (board.templating?.list ?? []).filter(
    ({ type, hide }) => hide !== 2 && (type === 'query' || type === 'custom'),
  );
}
