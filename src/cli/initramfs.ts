/**
 * `ringone initramfs`: packs a bootable initramfs from busybox and directories on this machine.
 */

import { lstat, readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { type CpioEntry, CpioError, cpio, fileTypes, pathOfBytes, writeCpio } from '../toolstack/cpio.ts';
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
 * directory brings an `init` of its own and no busybox is asked for. Raises InitramfsError or PullError.
 */
export async function makeInitramfs(options: InitramfsOptions): Promise<number> {
  const trees: Tree[] = [];
  for (const directory of options.directories ?? []) {
    const root = Buffer.from(directory.replace(/(?<=.)\/+$/, ''));
    trees.push({ directory, files: await readTree(root, '') });
  }
  const files = trees.flatMap((tree) => tree.files);
  const bringsInit = files.some(({ path }) => path === 'init');
  const busybox =
    options.busybox !== undefined || !bringsInit
      ? await readBusybox(options.busybox ?? (await pullBusybox(options)))
      : undefined;
  const inits = options.init === undefined ? [] : [cpio.file('init', await read(options.init), 0o755)];
  const archive = naming(trees, () =>
    writeCpio([...(busybox === undefined ? files : busyboxEntries({ busybox, files })), ...inits]),
  );
  const packed = options.output.endsWith('.gz') ? await packGzip(archive) : archive;
  await telling(options.output, () => writeFile(options.output, packed));
  return packed.length;
}

/** What one of the directories brings. */
interface Tree {
  readonly directory: string;
  readonly files: readonly CpioEntry[];
}

/** Runs `action`; an error about a file that a directory brought names the directory. */
function naming<T>(trees: readonly Tree[], action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof CpioError)) throw error;
    const sources = error.paths.flatMap((path) =>
      trees.filter(({ files }) => files.some((file) => file.path === path)).slice(-1),
    );
    throw new InitramfsError(
      [...sources.slice(0, 1).map((tree) => tree.directory), error.message].join(': '),
    );
  }
}

const ELF_MAGIC = [0x7f, 0x45, 0x4c, 0x46];

async function readBusybox(path: string): Promise<Uint8Array> {
  const busybox = await read(path);
  if (ELF_MAGIC.every((byte, i) => busybox[i] === byte)) return busybox;
  const found = busybox.length === 0 ? 'an empty file' : 'something else';
  throw new InitramfsError(`${path}: expected busybox as a static program (ELF), found ${found}`);
}

/**
 * All files below `directory`, under paths that begin with `prefix`. Sockets and pipes are passed over. Names are bytes, which
 * need not be UTF-8.
 */
async function readTree(directory: Buffer, prefix: string): Promise<CpioEntry[]> {
  const entries: CpioEntry[] = [];
  for (const name of await telling(directory, () => readdir(directory, { encoding: 'buffer' }))) {
    const source = Buffer.concat([directory, SEPARATOR, name]);
    const path = prefix + pathOfBytes(name);
    const info = await telling(source, () => lstat(source));
    const { mode } = info;
    if (info.isDirectory()) {
      entries.push({ path, mode }, ...(await readTree(source, `${path}/`)));
    } else if (info.isFile()) {
      entries.push({ path, mode, data: await read(source) });
    } else if (info.isSymbolicLink()) {
      const target = await telling(source, () => readlink(source, { encoding: 'buffer' }));
      entries.push({ path, mode: fileTypes.symlink | 0o777, data: target });
    } else if (info.isCharacterDevice() || info.isBlockDevice()) {
      entries.push({ path, mode, device: deviceOf(info.rdev) });
    }
  }
  return entries;
}

const SEPARATOR = Buffer.from('/');

/** The two halves of Linux's device number (sysmacros.h: 12 bits of major, 20 of minor in two parts). */
function deviceOf(rdev: number): { major: number; minor: number } {
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}

async function read(path: string | Buffer): Promise<Uint8Array> {
  return telling(path, () => readFile(path));
}

/** Runs `action`, and makes a failure of the file system one line about `path`. */
async function telling<T>(path: string | Buffer, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new InitramfsError(`${path}: ${code === 'ENOENT' ? 'no such file or directory' : message}`);
  }
}
