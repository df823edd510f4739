/** Named figures of one benchmark, medians of its runs; the unit is the last word of a key. */
export type Figures = Readonly<Record<string, number>>;
