/**
 * `ringone initramfs`: packs a bootable initramfs from busybox and directories on this machine.
 */

import { lstat, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CpioEntry, cpio, fileTypes, writeCpio } from '../toolstack/cpio.ts';
import { packGzip } from '../toolstack/images/gzip.ts';
import { busyboxEntries } from '../toolstack/initramfs.ts';
import { type PullOptions, pullBusybox } from './pull.ts';

export interface InitramfsOptions extends PullOptions {
  /** Where to write; packed with gzip if the name ends with `.gz`. */
  readonly output: string;
  /** A static busybox; by default Debian's, which is pulled. */
  readonly busybox?: string | undefined;
  /** What to run as `/init`; by default an interactive shell. */
  readonly init?: string | undefined;
  /** Directories whose contents go into the root, the later over the earlier. */
  readonly directories?: readonly string[] | undefined;
}

/**
 * A file that should be packed cannot be, or the archive cannot be written. The message is one clear line.
 */
export class InitramfsError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'InitramfsError';
  }
}

/**
 * Writes an initramfs and returns its size in bytes. busybox and its init are the ground layer, unless a
 * directory brings an `init` of its own and no busybox is asked for. Raises InitramfsError, CpioError or
 * PullError.
 */
export async function makeInitramfs(options: InitramfsOptions): Promise<number> {
  const files: CpioEntry[] = [];
  for (const directory of options.directories ?? []) files.push(...(await readTree(directory, '')));
  const bringsInit = files.some(({ path }) => path === 'init');
  const layers: CpioEntry[] = [];
  if (options.busybox !== undefined || !bringsInit) {
    const busybox = options.busybox ?? (await pullBusybox(options));
    layers.push(...busyboxEntries(await read(busybox)));
  }
  layers.push(...files);
  if (options.init !== undefined) layers.push(cpio.file('init', await read(options.init), 0o755));
  const archive = writeCpio(layers);
  const packed = options.output.endsWith('.gz') ? await packGzip(archive) : archive;
  await telling(options.output, () => writeFile(options.output, packed));
  return packed.length;
}

/** All files below `directory`, under paths that begin with `prefix`. Sockets and pipes are passed over. */
async function readTree(directory: string, prefix: string): Promise<CpioEntry[]> {
  const entries: CpioEntry[] = [];
  for (const name of await telling(directory, () => readdir(directory))) {
    const source = join(directory, name);
    const path = prefix + name;
    const info = await telling(source, () => lstat(source));
    const { mode } = info;
    if (info.isDirectory()) {
      entries.push({ path, mode }, ...(await readTree(source, `${path}/`)));
    } else if (info.isFile()) {
      entries.push({ path, mode, data: await read(source) });
    } else if (info.isSymbolicLink()) {
      const target = await telling(source, () => readlink(source));
      entries.push({ path, mode: fileTypes.symlink | 0o777, data: new TextEncoder().encode(target) });
    } else if (info.isCharacterDevice() || info.isBlockDevice()) {
      entries.push({ path, mode, device: deviceOf(info.rdev) });
    }
  }
  return entries;
}

/** The two halves of Linux's device number (sysmacros.h: 12 bits of major, 20 of minor in two parts). */
function deviceOf(rdev: number): { major: number; minor: number } {
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}

async function read(path: string): Promise<Uint8Array> {
  return telling(path, () => readFile(path));
}

/** Runs `action`, and makes a failure of the file system one line about `path`. */
async function telling<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new InitramfsError(`${path}: ${code === 'ENOENT' ? 'no such file or directory' : message}`);
  }
}
