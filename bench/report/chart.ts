/**
 * The chart: for each row one bar a machine, on a logarithmic scale, because the machines are up to a hundred times
 * apart. Plain SVG with its own colours and background, so that it reads the same on a light page and on a dark one.
 */

import type { PeerName } from '../peers/peer.ts';
import { medianSeconds, type Results } from '../results.ts';
import { significant } from './table.ts';

const WIDTH = 900;
const LABEL_WIDTH = 230;
const RIGHT_MARGIN = 70;
const BAR_HEIGHT = 13;
const ROW_GAP = 14;
const TOP = 78;
const BOTTOM = 34;
const FONT = "font-family='system-ui, sans-serif'";

/** Ours in one hue, dark to light; each of the others in one of its own. All differ in lightness, too. */
const COLOURS: Readonly<Record<PeerName, string>> = {
  auto: '#0b5394',
  compiler: '#5b8fc4',
  interpreter: '#a9c7e6',
  qemu: '#e07b00',
  v86: '#8e3b8e',
  native: '#8a8a8a',
};

/** The whole picture, as the text of an SVG file. */
export function timesChart({ peers, rows, machine, date }: Results): string {
  const bars = rows.map((row) => ({
    title: row.title,
    bars: peers.flatMap((peer) => {
      const seconds = medianSeconds(row, peer.name);
      return seconds === undefined ? [] : [{ peer, seconds }];
    }),
  }));
  const all = bars.flatMap((row) => row.bars.map(({ seconds }) => seconds));
  const low = 10 ** Math.floor(Math.log10(Math.min(1, ...all)));
  const high = 10 ** Math.ceil(Math.log10(Math.max(1, ...all)));
  const plotWidth = WIDTH - LABEL_WIDTH - RIGHT_MARGIN;
  const x = (seconds: number) =>
    LABEL_WIDTH + (Math.log10(seconds / low) / Math.log10(high / low)) * plotWidth;
  const parts: string[] = [];
  let y = TOP;
  for (const row of bars) {
    const height = Math.max(1, row.bars.length) * BAR_HEIGHT;
    parts.push(...label(row.title, y + height / 2));
    for (const { peer, seconds } of row.bars) {
      const width = Math.max(1, x(seconds) - LABEL_WIDTH);
      parts.push(
        `<rect x='${LABEL_WIDTH}' y='${y}' width='${width.toFixed(1)}' height='${BAR_HEIGHT - 2}' fill='${COLOURS[peer.name]}'/>`,
        text(LABEL_WIDTH + width + 5, y + BAR_HEIGHT - 3, `${significant(seconds)} s`, { size: 10 }),
      );
      y += BAR_HEIGHT;
    }
    y += ROW_GAP;
  }
  const height = y + BOTTOM;
  const grid = decades(low, high).flatMap((seconds) => [
    `<line x1='${x(seconds).toFixed(1)}' y1='${TOP - 8}' x2='${x(seconds).toFixed(1)}' y2='${y - ROW_GAP + 6}' stroke='#d5d5d5'/>`,
    text(x(seconds), y + 6, `${seconds} s`, { size: 11, anchor: 'middle' }),
  ]);
  const legend = peers.flatMap(({ name, title }, i) => [
    `<rect x='${20 + i * 165}' y='42' width='12' height='12' fill='${COLOURS[name]}'/>`,
    text(38 + i * 165, 52, title, { size: 12 }),
  ]);
  const heading = text(20, 26, 'Seconds for the same work, less is better (logarithmic)', {
    size: 16,
    weight: 600,
  });
  const foot = text(20, height - 8, `${machine}, ${date}`, { size: 11, fill: '#555' });
  return [
    `<svg xmlns='http://www.w3.org/2000/svg' width='${WIDTH}' height='${height}' viewBox='0 0 ${WIDTH} ${height}' ${FONT} role='img'>`,
    `<title>Seconds for the same work on each machine</title>`,
    `<rect width='${WIDTH}' height='${height}' fill='#ffffff'/>`,
    heading,
    ...legend,
    ...grid,
    ...parts,
    foot,
    '</svg>',
    '',
  ].join('\n');
}

/** A row's title to the left of its bars, in as many lines as it takes. */
function label(title: string, middle: number): string[] {
  const lines = wrap(title, 34);
  return lines.map((line, i) =>
    text(LABEL_WIDTH - 10, middle + 4 + (i - (lines.length - 1) / 2) * 14, line, { size: 12, anchor: 'end' }),
  );
}

/** The powers of ten from `low` to `high`. */
function decades(low: number, high: number): number[] {
  const count = Math.round(Math.log10(high / low));
  return Array.from({ length: count + 1 }, (_, i) => Number((low * 10 ** i).toPrecision(1)));
}

/** Breaks text at spaces into lines of at most `width` characters, where words allow. */
export function wrap(words: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of words.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}

interface TextStyle {
  readonly size: number;
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly weight?: number;
  readonly fill?: string;
}

function text(x: number, y: number, words: string, style: TextStyle): string {
  const { size, anchor = 'start', weight = 400, fill = '#222222' } = style;
  const place = `x='${x.toFixed(1)}' y='${y.toFixed(1)}' text-anchor='${anchor}'`;
  return `<text ${place} font-size='${size}' font-weight='${weight}' fill='${fill}'>${escaped(words)}</text>`;
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
