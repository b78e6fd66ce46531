/** An exception that executing an instruction, or delivering an event, has come to; its own page faults are `GuestFault`. */
export class CpuFault extends Error {
  override readonly name = 'CpuFault';
  readonly vector: number;
  readonly error: number;

  constructor(vector: number, error: number) {
    super(`exception ${vector}, error code ${error}`);
    this.vector = vector;
    this.error = error;
  }
}

/** Whether an address whose upper half is `high` is canonical: bits 47 to 63 alike. */
export function isCanonicalHigh(high: number): boolean {
  return (high << 16) >> 16 === (high | 0);
}
