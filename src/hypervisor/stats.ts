/** What a host has done so far, counted as it happens. */
import { EXIT_NAMES } from '../machine/x86/exits.ts';

/** Counts by small number, shown by name: the hypercalls of one interface. */
export class NamedCounts {
  readonly counts: Float64Array;
  private readonly nameOf: (number: number) => string;

  /** Numbers run from 0 to `size` - 1. */
  constructor(size: number, nameOf: (number: number) => string) {
    this.counts = new Float64Array(size);
    this.nameOf = nameOf;
  }

  /** Those above zero, by name, in the order of their numbers. */
  toRecord(): Record<string, number> {
    const record: Record<string, number> = {};
    this.counts.forEach((count, number) => {
      if (count > 0) record[this.nameOf(number)] = count;
    });
    return record;
  }
}

export class HostStats {
  /** Instructions retired by all vCPUs. */
  instructions = 0;
  /** How often the processor stopped, by `Exit`. */
  readonly exits = new NamedCounts(EXIT_NAMES.length, (kind) => EXIT_NAMES[kind]!);
  /** Exceptions by vector. */
  readonly exceptions = new NamedCounts(32, (vector) => `vector_${vector}`);
  /** By interface ("xen"): each adds its own when its first domain is made. */
  private readonly interfaces = new Map<string, NamedCounts>();

  /** The hypercall counts of an interface, made at the first call. */
  hypercallsOf(name: string, size: number, nameOf: (number: number) => string): NamedCounts {
    let counts = this.interfaces.get(name);
    if (counts === undefined) {
      counts = new NamedCounts(size, nameOf);
      this.interfaces.set(name, counts);
    }
    return counts;
  }

  /** All hypercalls by name, of all interfaces. */
  hypercalls(): Record<string, number> {
    return Object.assign({}, ...[...this.interfaces.values()].map((counts) => counts.toRecord()));
  }
}
