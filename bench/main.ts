/**
 * `npm run bench`: how fast it is, reported and never asserted, beside others that do the same work. Machines are shared and
 * noisy, so compare only figures of one sitting. Reading order: `rows.ts` says what is done, `script.ts` how it is followed,
 * `peers/` who does it, `sitting.ts` in which order, `report/` what becomes of the figures.
 *
 *     npm run bench                                                   everything; about a quarter of an hour
 *     npm run bench -- --rows sha256,fork --peers qemu,v86 --rounds 1
 *     npm run bench -- --write                                        and puts the report into docs/
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type DebianKernel, pullDebian } from '../src/cli/pull.ts';
import { bootParts } from './boot.ts';
import { PEER_NAMES, type PeerName, type Setting } from './peers/peer.ts';
import { reportText, writeReport } from './report/document.ts';
import type { Results } from './results.ts';
import { BOOT, ROWS, workOf } from './rows.ts';
import { sit } from './sitting.ts';
import { tinyGuest } from './tiny.ts';

/** What can be measured: the rows, the boot in its parts, what a host and a guest cost before they do anything. */
const PARTS = ['rows', 'boot', 'tiny'] as const;
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

async function measure(options: Options): Promise<Results> {
  const { rounds, parts, quick } = options;
  say(`fetching Debian's ${options.kernel} kernel and busybox, unless they are there`);
  const pulled = await pullDebian(options.kernel, { notice: say });
  const directory = await mkdtemp(join(tmpdir(), 'ringone-bench-'));
  try {
    const setting: Setting = {
      directory,
      work: workOf(
        ROWS.filter(({ name }) => options.rows.includes(name)),
        quick,
      ),
      boot: options.rows.includes(BOOT),
      memoryMib: MEMORY_MIB,
      kernel: pulled.kernel,
      kernelVersion: `Debian's Linux ${pulled.version} (amd64${options.kernel === 'cloud' ? ', cloud' : ''})`,
      busybox: await readFile(pulled.busybox),
      busyboxPath: pulled.busybox,
      say,
    };
    const timeoutSeconds = options.timeout;
    const wanted = parts.includes('rows') ? options.peers : [];
    const sitting = await sit(setting, { peers: wanted, rounds, timeoutSeconds });
    return {
      date: new Date().toISOString().slice(0, 10),
      machine: `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} of its cores`,
      rounds,
      memoryMib: MEMORY_MIB,
      ...sitting,
      boot: parts.includes('boot') ? await bootParts(setting, rounds) : [],
      tiny: parts.includes('tiny') ? await tinyGuest() : [],
      paths: [],
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
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
