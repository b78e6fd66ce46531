/** Nothing here: see `prebuilt.ts`. */

/** What the interpreter's module was generated for, and its bytes in base64. */
export interface PrebuiltInterpreter {
  readonly heat: number;
  readonly heatLimit: number;
  readonly module: string;
}

export const PREBUILT: PrebuiltInterpreter | undefined = undefined as PrebuiltInterpreter | undefined;
