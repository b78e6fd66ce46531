/**
 * What a peer is to the benchmark: something that can run the rows. Each file beside this one prepares one; what it
 * needs and cannot have is its own affair to say, in one line.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cpio } from '../../src/toolstack/cpio.ts';
import { buildBusyboxInitramfs } from '../../src/toolstack/initramfs.ts';
import { type Bits, compileProgram } from '../programs.ts';
import type { Work } from '../rows.ts';
import { guestScript } from '../script.ts';
import type { MachineProcess } from '../stopwatch.ts';

export const PEER_NAMES = ['auto', 'compiler', 'interpreter', 'qemu', 'v86', 'native'] as const;
export type PeerName = (typeof PEER_NAMES)[number];

/** A peer that is ready to be run, as often as one likes. */
export interface PreparedPeer {
  readonly name: PeerName;
  /** For the heads of the tables. */
  readonly title: string;
  /** Version, guest, and what else a reader must know of it. */
  readonly description: string;
  /** The processes that make one run, one after the other; each row comes from one of them. */
  readonly processes: readonly MachineProcess[];
  /** Where it leaves statistics of each boot, if it does. */
  readonly bootStatistics?: string;
  /** Rows that it does not run, each with the reason. */
  readonly leftOut: readonly string[];
}

/** What a peer is prepared from. */
export interface Setting {
  /** Scratch space that goes when the benchmark ends. */
  readonly directory: string;
  readonly work: readonly Work[];
  /** Whether the boot is one of the rows. */
  readonly boot: boolean;
  readonly memoryMib: number;
  /** Whether the guests touch most of their memory before the rows. */
  readonly fill: boolean;
  /** The amd64 guest: bzImage, static busybox, what they are called. */
  readonly kernel: string;
  readonly kernelVersion: string;
  readonly busybox: Uint8Array;
  readonly busyboxPath: string;
  /** Shows what is being done. */
  readonly say: (line: string) => void;
}

/** A peer cannot be had here. The message is one line that says what is missing. */
export class MissingPeer extends Error {
  override readonly name = 'MissingPeer';
}

/** How much of its memory a guest fills, if it does. */
const FILLED_SHARE = 0.75;

export interface GuestFiles {
  readonly ramdisk: string;
  /** The rows that it runs. */
  readonly work: readonly Work[];
  readonly leftOut: readonly string[];
}

/**
 * Writes an initramfs that runs the rows: busybox of the guest's own width, the compiled programs, the file to
 * compress.
 */
export async function makeGuestFiles(
  setting: Setting,
  name: string,
  guest: { readonly work: readonly Work[]; readonly bits: Bits; readonly busybox: Uint8Array },
): Promise<GuestFiles> {
  const { programs, work, leftOut } = await compilePrograms(setting, name, guest.work, guest.bits);
  const files = [
    cpio.directory('bench'),
    cpio.file('bench/input', setting.busybox),
    ...(await Promise.all(
      [...programs].map(async ([program, path]) =>
        cpio.file(`bench/${program}`, await readFile(path), 0o755),
      ),
    )),
  ];
  const fillMib = setting.fill ? Math.floor(setting.memoryMib * FILLED_SHARE) : 0;
  const init = new TextEncoder().encode(guestScript(work, fillMib));
  const ramdisk = join(setting.directory, `${name}.cpio`);
  await writeFile(ramdisk, buildBusyboxInitramfs({ busybox: guest.busybox, init, files }));
  return { ramdisk, work, leftOut };
}

/** Compiles what the rows need; rows whose program cannot be compiled are left out. */
export async function compilePrograms(
  setting: Setting,
  name: string,
  wanted: readonly Work[],
  bits: Bits,
): Promise<{ programs: ReadonlyMap<string, string>; directory: string; work: Work[]; leftOut: string[] }> {
  const directory = join(setting.directory, `${name}-programs`);
  await mkdir(directory, { recursive: true });
  const programs = new Map<string, string>();
  const leftOut: string[] = [];
  const work = wanted.filter((row) => {
    if (row.program === undefined) return true;
    const compiled = compileProgram(row.program, bits, directory);
    if ('path' in compiled) programs.set(row.program, compiled.path);
    else leftOut.push(`${row.name}: ${compiled.problem}`);
    return 'path' in compiled;
  });
  return { programs, directory, work, leftOut };
}
