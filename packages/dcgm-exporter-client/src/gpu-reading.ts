/** Whom a row was given to: the labels that Kubernetes and HPC job mapping add. What is not said is ''. */
export interface Attribution {
  readonly pod: string;
  readonly namespace: string;
  readonly container: string;
  readonly podUid: string;
  readonly hpcJob: string;
}

/** What one scrape says of one GPU, or of one MIG instance of it. Labels that the exporter did not give are ''. */
export interface GpuReading {
  readonly gpuUuid: string;
  /** '' for the whole GPU, else the GPU instance id, such as `13`. */
  readonly gpuInstanceId: string;
  /** MIG profile such as `1g.5gb`; '' for the whole GPU. */
  readonly gpuInstanceProfile: string;
  /** The driver's enumeration, which changes; undefined when there is no `gpu` label. */
  readonly gpuIndex: number | undefined;
  readonly modelName: string;
  readonly hostname: string;
  readonly pciBusId: string;
  readonly device: string;
  readonly driverVersion: string;
  readonly serial: string;
  /** One entry per pod or job that the GPU was given to; empty when there is none. */
  readonly attributions: readonly Attribution[];
  /** DCGM field id → value in the field's unit (field-catalogue.ts). A blank value is absent, never 0. */
  readonly values: ReadonlyMap<number, number>;
}
