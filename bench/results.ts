/** What a sitting gives, as plain data: it can be written to a file and made into tables and a chart later. */
import type { PeerName } from './peers/peer.ts';
import type { Work } from './rows.ts';
import { geometricMean, median } from './statistics.ts';
import type { Sample } from './stopwatch.ts';

export interface PeerInfo {
  readonly name: PeerName;
  readonly title: string;
  readonly description: string;
}

/** A row and its samples, by peer, one for each round. */
export interface RowResult extends Pick<Work, 'name' | 'title' | 'headline'> {
  readonly samples: Partial<Record<PeerName, Sample[]>>;
}

/** A figure that peers have each for themselves: one value a round. */
export interface Figure {
  readonly what: string;
  readonly unit: string;
  readonly values: Partial<Record<PeerName, number[]>>;
}

export interface Results {
  /** ISO 8601, the day alone. */
  readonly date: string;
  readonly machine: string;
  /** The load averages before the first measurement and after the last: how busy others kept the machine. */
  readonly load: { readonly start: number; readonly end: number };
  readonly rounds: number;
  readonly memoryMib: number;
  readonly peers: PeerInfo[];
  readonly rows: RowResult[];
  /** MiB resident beyond the guest's own, by the titles of the rows, in a run whose times do not count. */
  readonly memory: Figure[];
  /** The boot of ours in its parts, by engine; so the next two. */
  readonly boot: Figure[];
  /** A host and the smallest guest, from nothing to its first words. */
  readonly tiny: Figure[];
  /** The hypervisor's own paths. */
  readonly paths: Figure[];
  /** What was left out, and why; what went wrong. */
  readonly notes: string[];
}

/** Adds a value to the figure of that name, which is made if it is not there. */
export function addFigure(
  figures: Figure[],
  peer: PeerName,
  { what, unit, value }: { readonly what: string; readonly unit: string; readonly value: number },
): void {
  let figure = figures.find((known) => known.what === what);
  if (figure === undefined) figures.push((figure = { what, unit, values: {} }));
  (figure.values[peer] ??= []).push(value);
}

/** The median of a row's seconds; undefined if the peer did not run it. */
export function medianSeconds(row: RowResult, peer: PeerName): number | undefined {
  return medianOf(row, peer, ({ seconds }) => seconds);
}

/** The median of something that samples may lack. */
export function medianOf(
  row: RowResult,
  peer: PeerName,
  pick: (sample: Sample) => number | undefined,
): number | undefined {
  const values = (row.samples[peer] ?? []).map(pick).filter((value) => value !== undefined);
  return values.length === 0 ? undefined : median(values);
}

/** Ours over theirs, in medians; undefined unless both ran it. Below one, ours is the faster. */
export function ratio(row: RowResult, ours: PeerName, theirs: PeerName): number | undefined {
  const [a, b] = [medianSeconds(row, ours), medianSeconds(row, theirs)];
  return a === undefined || b === undefined ? undefined : a / b;
}

/** The same of each one's fastest round: what others do to a machine only ever adds to a time. */
export function fastestRatio(row: RowResult, ours: PeerName, theirs: PeerName): number | undefined {
  const [a, b] = [row.samples[ours], row.samples[theirs]];
  if (a === undefined || b === undefined) return undefined;
  const fastest = (samples: readonly Sample[]) => Math.min(...samples.map(({ seconds }) => seconds));
  return fastest(a) / fastest(b);
}

/** The geometric mean of the ratios over the headline rows; undefined unless both ran all of them. */
export function headlineRatio(
  rows: readonly RowResult[],
  ours: PeerName,
  theirs: PeerName,
  ratioOf: typeof ratio = ratio,
): number | undefined {
  const ratios = rows.filter(({ headline }) => headline).map((row) => ratioOf(row, ours, theirs));
  const known = ratios.filter((value) => value !== undefined);
  return known.length > 0 && known.length === ratios.length ? geometricMean(known) : undefined;
}

/** Says of each row whose answers are not all the same that they differ: then some machine is wrong. */
export function differingAnswers(rows: readonly RowResult[]): string[] {
  return rows.flatMap(({ name, samples }) => {
    const answers = new Map<string, PeerName>();
    for (const [peer, list] of Object.entries(samples)) {
      for (const { answer } of list) if (!answers.has(answer)) answers.set(answer, peer as PeerName);
    }
    if (answers.size < 2) return [];
    const said = [...answers].map(([answer, peer]) => `${peer} says "${answer}"`);
    return [`${name}: the answers differ: ${said.join(', ')}`];
  });
}
