/**
 * `npm run bench`: how fast it is, reported and never asserted, beside others that do the same work. Machines are
 * shared and noisy, so compare only figures of one sitting. Reading order: `rows.ts` says what is done, `script.ts`
 * how it is followed, `peers/` who does it, `sitting.ts` in which order, `report/` what becomes of the figures.
 *
 *     npm run bench                                                   everything; some twenty minutes
 *     npm run bench -- --rows sha256,fork --peers qemu,v86 --rounds 1
 *     npm run bench -- --write                                        and puts the report into docs/
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type DebianKernel, PullError, pullDebian } from '../src/cli/pull.ts';
import { ENGINES } from '../src/toolstack/api.ts';
import { measurePaths } from './paths/measure.ts';
import { PEER_NAMES, type PeerName, type Setting } from './peers/peer.ts';
import { reportText, writeReport } from './report/document.ts';
import type { Figure, Results } from './results.ts';
import { BOOT, ROWS, workOf } from './rows.ts';
import { sit, weigh } from './sitting.ts';
import { measureTinyGuest } from './tiny.ts';

/**
 * What can be measured: the rows' times; the memory they take; a host and a guest before they do anything; the ways
 * into the hypervisor.
 */
const PARTS = ['rows', 'memory', 'tiny', 'paths'] as const;
type Part = (typeof PARTS)[number];

const MEMORY_MIB = 512;
/** `--engine compiler` compiles what runs once, too: of interest to those who work on it. */
const DEFAULT_PEERS: readonly PeerName[] = ['auto', 'interpreter', 'qemu', 'v86', 'native'];
const ROW_NAMES = [BOOT, ...ROWS.map(({ name }) => name)];

interface Options {
  readonly rows: string[];
  readonly peers: PeerName[];
  readonly parts: Part[];
  readonly rounds: number;
  readonly quick: boolean;
  readonly kernel: DebianKernel;
  readonly timeout: number;
  readonly write: boolean;
  readonly json?: string;
  readonly from?: string;
}

const command = new Command('npm run bench --')
  .description('Measures ringone beside QEMU TCG, v86 and this machine itself.')
  .addOption(listOption('--rows <list>', 'rows to measure', ROW_NAMES, ROW_NAMES))
  .addOption(listOption('--peers <list>', 'who takes part', PEER_NAMES, DEFAULT_PEERS))
  .addOption(listOption('--parts <list>', 'which tables', PARTS, PARTS))
  .option('--rounds <number>', 'how often each peer has its turn', positiveInteger, 3)
  .option('--quick', 'less work in each row: for a first look', false)
  .addOption(
    new Option('--kernel <name>', "which of Debian's kernels boots")
      .choices(['6.1', 'cloud', '6.12'])
      .default('6.1'),
  )
  .option('--timeout <seconds>', 'for one run of one peer', positiveInteger, 900)
  .option('--write', 'write docs/benchmarks.md and its chart', false)
  .option('--json <file>', 'keep the figures in a file')
  .option('--from <file>', 'report the figures of such a file and measure nothing')
  .parse();

const options = command.opts<Options>();
const say = (line: string): void => {
  process.stderr.write(`bench: ${line}\n`);
};
const results =
  options.from === undefined
    ? await measure(options)
    : (JSON.parse(await readFile(options.from, 'utf8')) as Results);
if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(results, undefined, 1)}\n`);
console.log(reportText(results));
if (options.write) for (const file of await writeReport(results)) say(`wrote ${file}`);

/** Measures what the options ask for. What cannot be measured is noted, and the rest goes on. */
async function measure({ rounds, parts, peers, ...options }: Options): Promise<Results> {
  const notes: string[] = [];
  const loadAtStart = loadavg()[0]!;
  const engines = ENGINES.filter((engine) => peers.includes(engine));
  const directory = await mkdtemp(join(tmpdir(), 'ringone-bench-'));
  try {
    const guests = parts.includes('rows') || parts.includes('memory');
    const setting = guests ? await settingOf(options, directory, notes) : undefined;
    const sittingOptions = { peers, rounds, timeoutSeconds: options.timeout };
    const sitting =
      setting === undefined || !parts.includes('rows')
        ? { peers: [], rows: [], boot: [], notes: [] }
        : await sit(setting, sittingOptions);
    const weighed =
      setting === undefined || !parts.includes('memory')
        ? { memory: [], notes: [] }
        : await weigh(setting, sittingOptions);
    const attempt = async (part: Part, measured: () => Figure[] | Promise<Figure[]>): Promise<Figure[]> => {
      try {
        return parts.includes(part) ? await measured() : [];
      } catch (error) {
        notes.push(`${part}: ${(error as Error).message}`);
        return [];
      }
    };
    return {
      date: new Date().toISOString().slice(0, 10),
      machine: `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} of its cores`,
      rounds,
      memoryMib: MEMORY_MIB,
      ...sitting,
      tiny: await attempt('tiny', () => measureTinyGuest(engines, rounds, say)),
      paths: await attempt('paths', () => measurePaths(directory, engines, rounds, say)),
      memory: weighed.memory,
      load: { start: loadAtStart, end: loadavg()[0]! },
      notes: [...new Set([...notes, ...sitting.notes, ...weighed.notes])],
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The guest that the peers share; undefined, and a note, where it cannot be had. */
async function settingOf(
  { kernel, quick, rows }: Pick<Options, 'kernel' | 'quick' | 'rows'>,
  directory: string,
  notes: string[],
): Promise<Setting | undefined> {
  try {
    say(`fetching Debian's ${kernel} kernel and busybox, unless they are there`);
    const pulled = await pullDebian(kernel, { notice: say });
    const chosen = ROWS.filter(({ name }) => rows.includes(name));
    return {
      directory,
      work: workOf(chosen, quick),
      boot: rows.includes(BOOT),
      memoryMib: MEMORY_MIB,
      fill: false,
      kernel: pulled.kernel,
      kernelVersion: `Debian's Linux ${pulled.version} (amd64${kernel === 'cloud' ? ', cloud' : ''})`,
      busybox: await readFile(pulled.busybox),
      busyboxPath: pulled.busybox,
      say,
    };
  } catch (error) {
    if (!(error instanceof PullError)) throw error;
    notes.push(error.message);
    return undefined;
  }
}

/** An option whose value is some of `choices`, separated by commas. */
function listOption<T extends string>(
  flags: string,
  description: string,
  choices: readonly T[],
  standard: readonly T[],
): Option {
  return new Option(flags, `${description}: ${choices.join(',')}`)
    .default(standard, standard.length === choices.length ? 'all' : standard.join(','))
    .argParser((text: string) => {
      const words = text.split(',').filter((word) => word !== '');
      for (const word of words) {
        if (!choices.some((choice) => choice === word)) {
          throw new InvalidArgumentError(`expected some of ${choices.join(',')}, found ${word}.`);
        }
      }
      return choices.filter((choice) => words.includes(choice));
    });
}

function positiveInteger(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('expected a positive whole number.');
  return Number(text);
}
