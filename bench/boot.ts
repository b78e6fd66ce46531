/**
 * The boot of ours in its parts, from the statistics that the command leaves of each boot of a sitting. Unpacking
 * the kernel is measured alone, in a process that does nothing else.
 */
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { PeerName } from './peers/peer.ts';
import { addFigure, type Figure } from './results.ts';

const UNPACK = fileURLToPath(new URL('peers/ringone-unpack.mjs', import.meta.url));
const MIB = 2 ** 20;

/** What `ringone run --stats` writes, as far as it is read here. */
interface Statistics {
  readonly instructions: number;
  readonly wallSeconds: number;
  readonly loadSeconds: number;
  readonly firstOutputSeconds: number;
  readonly rssBytes: number;
}

export interface Boot {
  readonly peer: PeerName;
  /** The file that `--stats` named. */
  readonly statistics: string;
  /** From the start of the process to the first line of init. */
  readonly initSeconds: number;
  readonly kernel: string;
  readonly memoryMib: number;
}

/** Adds one boot's parts to the figures. */
export async function addBootParts(figures: Figure[], boot: Boot): Promise<void> {
  const counted = JSON.parse(await readFile(boot.statistics, 'utf8')) as Statistics;
  const add = (what: string, unit: string, value: number) =>
    addFigure(figures, boot.peer, { what, unit, value });
  add('process start to the guest’s first instruction', 's', counted.loadSeconds);
  add('of which unpacking the kernel (measured alone)', 's', unpackSeconds(boot.kernel));
  add('to the kernel’s first line', 's', counted.firstOutputSeconds);
  add('to the first line of init', 's', boot.initSeconds);
  add('to power-off', 's', counted.wallSeconds);
  const millions = counted.instructions / 1e6;
  add('instructions', 'million', millions);
  add('instructions per second', 'million', millions / (counted.wallSeconds - counted.loadSeconds));
  add('most memory resident, beyond the guest’s', 'MiB', counted.rssBytes / MIB - boot.memoryMib);
}

function unpackSeconds(kernel: string): number {
  return Number(spawnSync(process.execPath, [UNPACK, kernel], { encoding: 'utf8' }).stdout);
}
