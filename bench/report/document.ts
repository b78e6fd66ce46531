/** The report: what is printed, and the page that the documentation keeps of a full sitting. */
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Results } from '../results.ts';
import { timesChart } from './chart.ts';
import { oursOf, rateTable, timesTable, unsteadyFigures, valuesTable } from './table.ts';

const DOCS = new URL('../../docs/', import.meta.url);
const CHART = 'benchmarks.svg';

interface Section {
  readonly title: string;
  readonly paragraphs: readonly (string | undefined)[];
}

/** All tables, each with its title, and what was left out. */
export function reportText(results: Results): string {
  return `\n${sections(results).map(sectionText).join('\n\n')}\n`;
}

/** The page as Markdown. */
export function reportPage(results: Results): string {
  const { date, machine, load, rounds } = results;
  const turns = rounds === 1 ? 'One round' : `Medians of ${rounds} rounds in which all took turns`;
  const paragraphs = [
    '# Benchmarks',
    '`npm run bench -- --write` wrote this page; `npm run bench -- --help` tells how to measure less, or other things.',
    [
      `Measured on ${date}: ${machine}, with a load average of ${load.start.toFixed(1)} at the start and`,
      `${load.end.toFixed(1)} at the end.`,
      `${turns}.`,
      'Such machines are shared and noisy: trust the ratios of one sitting more than its seconds.',
    ].join(' '),
    ...(results.rows.length > 0 ? [`![The times as a chart](${CHART})`] : []),
    ...sections(results).map(sectionText),
  ];
  return `${paragraphs.join('\n\n')}\n`;
}

/** Writes the page and its chart into `docs/` and returns their paths. */
export async function writeReport(results: Results): Promise<string[]> {
  const files = [
    ['benchmarks.md', reportPage(results)],
    [CHART, timesChart(results)],
  ] as const;
  const paths: string[] = [];
  for (const [name, text] of files) {
    const path = fileURLToPath(new URL(name, DOCS));
    await writeFile(path, text);
    paths.push(path);
  }
  return paths;
}

function sections(results: Results): Section[] {
  const { peers, memoryMib } = results;
  const notes = [...results.notes, ...unsteadyFigures(results)];
  const ours = oursOf(peers);
  const all: Section[] = [
    {
      title: 'Times',
      paragraphs: [
        [
          `Every guest has ${memoryMib} MiB, one processor and its console on a serial or paravirtual line, and starts`,
          "with an initramfs of Debian's static busybox. A process on the host watches the console for the words with",
          "which the guest's script begins and ends a row, so one clock measures all.",
        ].join(' '),
        ours &&
          [
            `Ratios are of medians; below one, ${ours.title} is the faster.`,
            'Rounds of a figure marked ± lie more than a quarter apart either way, most likely because something else had the machine: do',
            'not lean on its ratio. The last line leaves out most of that, for others only ever add to a time.',
          ].join(' '),
        peers.length > 0 ? timesTable(results) : undefined,
        peers.map(({ title, description }) => `- **${title}**: ${description}.`).join('\n'),
      ],
    },
    {
      title: 'Million guest instructions per second',
      paragraphs: [rateTable(results)],
    },
    {
      title: `Memory: MiB resident beyond the guest's ${memoryMib}`,
      paragraphs: [
        results.memory.length > 0
          ? 'Most that the process held during a row, in one more run of all rows whose guest first touches what it has.'
          : undefined,
        valuesTable(results.memory, peers),
      ],
    },
    {
      title: 'The boot in its parts',
      paragraphs: [valuesTable(results.boot, peers)],
    },
    {
      title: 'From nothing to the first words of the smallest guest, `tiny`',
      paragraphs: [valuesTable(results.tiny, peers)],
    },
    {
      title: 'Paths of the hypervisor',
      paragraphs: [
        results.paths.length > 0
          ? [
              'A guest of ours goes each of these ways thousands of times and reads the time-stamp counter before and',
              "after; the loop's own cost is taken off.",
            ].join(' ')
          : undefined,
        valuesTable(results.paths, peers),
      ],
    },
    {
      title: 'Left out, or to be known',
      paragraphs: [notes.length > 0 ? notes.map((note) => `- ${note}.`).join('\n') : undefined],
    },
  ];
  return all.filter(({ paragraphs }) => paragraphs.at(-1) !== undefined && paragraphs.at(-1) !== '');
}

function sectionText({ title, paragraphs }: Section): string {
  return [`## ${title}`, ...paragraphs.filter((text) => text !== undefined && text !== '')].join('\n\n');
}
