/** The tables: Markdown with its columns aligned, so that they can be read in a terminal as well as in a page. */

import { PEER_NAMES, type PeerName } from '../peers/peer.ts';
import type { Figure, PeerInfo, Results, RowResult } from '../results.ts';
import { fastestRatio, headlineRatio, medianOf, medianSeconds, ratio } from '../results.ts';
import { BOOT } from '../rows.ts';
import { median, spread } from '../statistics.ts';

const NOTHING = '–';
/** Rounds that differ by more than this share, either way, are no measurement of the peer alone. */
const STEADY_SHARE = 0.25;
const UNSTEADY = ' ±';
const MEANS = [
  ['*geometric mean of the rows in bold*', ratio],
  ["*the same of each one's fastest round*", fastestRatio],
] as const;

/** A Markdown table; the first column is text, the others are figures and stand to the right. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(3, ...[title, ...rows.map((row) => row[i]!)].map(columns)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => pad(cell, widths[i]!, i > 0)).join(' | ')} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

/** Medians of all rows and peers; behind them ours over each of the others. */
export function timesTable({ peers, rows }: Results): string {
  const ours = oursOf(peers);
  const others = ours === undefined ? [] : peers.filter(({ name }) => name === 'v86' || name === 'qemu');
  const head = [
    '',
    ...peers.map(({ title }) => title),
    ...others.map(({ title }) => `${ours!.name} / ${title}`),
  ];
  const body = rows.map((row) => [
    row.headline ? `**${row.title}**` : row.title,
    ...peers.map(
      ({ name }) => `${seconds(medianSeconds(row, name))}${isUnsteady(row, name) ? UNSTEADY : ''}`,
    ),
    ...others.map(({ name }) => times(ratio(row, ours!.name, name))),
  ]);
  for (const [title, ratioOf] of MEANS) {
    const means = others.map(({ name }) => times(headlineRatio(rows, ours!.name, name, ratioOf)));
    if (means.some((mean) => mean !== NOTHING)) body.push([title, ...peers.map(() => ''), ...means]);
  }
  return markdownTable(head, body);
}

/** Million instructions a second, where a machine counts them; the boot's stand with its parts. */
export function rateTable({ peers, rows }: Results): string | undefined {
  const counted = rows.filter(({ name }) => name !== BOOT);
  return figuresTable(peers, counted, (row, peer) => {
    const rate = medianOf(row, peer.name, (sample) =>
      sample.instructions === undefined ? undefined : sample.instructions / sample.seconds,
    );
    return rate === undefined ? undefined : `${Math.round(rate / 1e6)}`;
  });
}

/** Figures that peers have each for themselves: a column for each peer, medians. */
export function valuesTable(figures: readonly Figure[], peers: readonly PeerInfo[]): string | undefined {
  const shown = PEER_NAMES.filter((peer) => figures.some(({ values }) => values[peer] !== undefined));
  if (shown.length === 0) return undefined;
  const cell = (values: number[] | undefined, unit: string) =>
    values === undefined
      ? NOTHING
      : `${significant(median(values))} ${unit}${isApart(values) ? UNSTEADY : ''}`;
  const body = figures.map(({ what, unit, values }) => [
    what,
    ...shown.map((peer) => cell(values[peer], unit)),
  ]);
  const titleOf = (peer: PeerName) => peers.find(({ name }) => name === peer)?.title ?? peer;
  return markdownTable(['', ...shown.map(titleOf)], body);
}

/** The figures marked ± in the table of times, each with its fastest and its slowest round. */
export function unsteadyFigures({ peers, rows }: Results): string[] {
  return peers.flatMap(({ name, title }) => {
    const ranges = rows
      .filter((row) => isUnsteady(row, name))
      .map((row) => {
        const values = row.samples[name]!.map((sample) => sample.seconds);
        return `${row.name} ${significant(Math.min(...values))} to ${significant(Math.max(...values))} s`;
      });
    return ranges.length === 0 ? [] : [`${title}, unsteady: ${ranges.join(', ')}`];
  });
}

function isUnsteady(row: RowResult, peer: PeerName): boolean {
  return isApart((row.samples[peer] ?? []).map(({ seconds }) => seconds));
}

function isApart(values: readonly number[]): boolean {
  return values.length > 1 && spread(values) > STEADY_SHARE;
}

/** The peer that stands for us: the engine that people get. */
export function oursOf(peers: readonly PeerInfo[]): PeerInfo | undefined {
  return (['auto', 'compiler', 'interpreter'] as const)
    .map((engine) => peers.find(({ name }) => name === engine))
    .find((peer) => peer !== undefined);
}

function figuresTable(
  peers: readonly PeerInfo[],
  rows: readonly RowResult[],
  cell: (row: RowResult, peer: PeerInfo) => string | undefined,
): string | undefined {
  const shown = peers.filter((peer) => rows.some((row) => cell(row, peer) !== undefined));
  if (shown.length === 0) return undefined;
  const body = rows.map((row) => [row.title, ...shown.map((peer) => cell(row, peer) ?? NOTHING)]);
  return markdownTable(['', ...shown.map(({ title }) => title)], body);
}

function seconds(value: number | undefined): string {
  return value === undefined ? NOTHING : `${significant(value)} s`;
}

function times(value: number | undefined): string {
  return value === undefined ? NOTHING : significant(value);
}

/** Three digits that mean something, and no exponent. */
export function significant(value: number): string {
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 3));
}

/** Width on a terminal: none of the characters used here is wide or combining. */
function columns(text: string): number {
  return [...text].length;
}

function pad(text: string, width: number, right: boolean): string {
  const space = ' '.repeat(width - columns(text));
  return right ? space + text : text + space;
}
