/**
 * The "newc" cpio archive, the form in which Linux takes an initramfs
 * (Documentation/driver-api/early-userspace/ buffer-format.rst). A member is a header of 110 characters, the
 * path, the data:
 *
 *     070701 ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
 *            └── eight hexadecimal digits each ──────────────────────────────────────────────────────┘
 *     path NUL, padded to 4 │ data, padded to 4 │ next member … TRAILER!!!
 *
 * What is written depends on the entries alone: sorted, owned by root, dated 1970. Same entries, same bytes.
 */
import { quoted } from './quoted.ts';

/** Types of files, the upper bits of a mode (sys/stat.h). */
export const fileTypes = {
  directory: 0o040000,
  character: 0o020000,
  block: 0o060000,
  regular: 0o100000,
  symlink: 0o120000,
} as const;

/** A file to pack, or one read. */
export interface CpioEntry {
  /** Slash-separated, from the root, without a leading slash. Bytes that are no UTF-8: see `pathOfBytes`. */
  readonly path: string;
  /** The file's type and permissions, as in `st_mode`. */
  readonly mode: number;
  /** A file's contents, or a symlink's target; nothing for the rest. */
  readonly data?: Uint8Array;
  /** Which device a character or block file stands for. */
  readonly device?: { readonly major: number; readonly minor: number };
}

/** A list of files that cannot be packed, or bytes that are no archive. The message is one clear line. */
export class CpioError extends Error {
  /** The entries that it is about, the one to blame first. */
  readonly paths: readonly string[];

  constructor(message: string, paths: readonly string[] = []) {
    super(message);
    this.name = 'CpioError';
    this.paths = paths;
  }
}

/**
 * The path that bytes of a file system spell. Linux gives names no encoding: a byte of 0x80 and above in a name that is no UTF-8
 * becomes a lone surrogate, U+DC80 and above, as Python does it (PEP 383), and `bytesOfPath` makes the same byte of it.
 */
export function pathOfBytes(bytes: Uint8Array): string {
  const names: string[] = [];
  for (let start = 0; start <= bytes.length; ) {
    const slash = bytes.indexOf(SLASH, start);
    const end = slash < 0 ? bytes.length : slash;
    names.push(nameOfBytes(bytes.subarray(start, end)));
    start = end + 1;
  }
  return names.join('/');
}

function nameOfBytes(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => String.fromCharCode(byte < 0x80 ? byte : 0xdc00 + byte)).join('');
  }
}

export function bytesOfPath(path: string): Uint8Array<ArrayBuffer> {
  const parts = path.split(/([\udc80-\udcff])/u);
  return Uint8Array.from(
    parts.flatMap((part, i) =>
      i % 2 === 1 ? [part.charCodeAt(0) - 0xdc00] : [...new TextEncoder().encode(part)],
    ),
  );
}

const magic = '070701';
const SLASH = 0x2f;
const headerChars = 110;
const trailerPath = 'TRAILER!!!';
/** Linux's PATH_MAX, the NUL included. */
const longestPath = 4096;
/** Archives are padded to this, by custom of tapes that Linux's own tools keep up. */
const archiveBlockBytes = 512;
/** The header's fields in order, after the magic. */
const fieldNames = [
  'ino',
  'mode',
  'uid',
  'gid',
  'nlink',
  'mtime',
  'filesize',
  'devmajor',
  'devminor',
  'rdevmajor',
  'rdevminor',
  'namesize',
  'check',
] as const;
type Fields = Record<(typeof fieldNames)[number], number>;

const noFields: Fields = Object.fromEntries(fieldNames.map((name) => [name, 0])) as Fields;

/** Entries for the usual kinds of files; permissions are the last nine bits of a mode. */
export const cpio = {
  file: (path: string, data: Uint8Array, permissions = 0o644): CpioEntry => ({
    path,
    mode: fileTypes.regular | permissions,
    data,
  }),
  directory: (path: string, permissions = 0o755): CpioEntry => ({
    path,
    mode: fileTypes.directory | permissions,
  }),
  symlink: (path: string, target: string): CpioEntry => ({
    path,
    mode: fileTypes.symlink | 0o777,
    data: bytesOfPath(target),
  }),
  characterDevice: (path: string, major: number, minor: number, permissions = 0o600): CpioEntry => ({
    path,
    mode: fileTypes.character | permissions,
    device: { major, minor },
  }),
};

/**
 * Packs entries. They may come in any order; a later one replaces an earlier one of the same path, and
 * directories that are not listed but needed are added. Raises CpioError for a path that leads out of the
 * root or through a file.
 */
export function writeCpio(entries: Iterable<CpioEntry>): Uint8Array {
  const byPath = new Map<string, CpioEntry>();
  for (const entry of entries) byPath.set(checkPath(entry.path), entry);
  for (const path of [...byPath.keys()]) addParents(byPath, path);
  const sorted = [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  const parts = sorted.flatMap((entry, i) => member(entry, i + 1));
  parts.push(...member({ path: trailerPath, mode: 0 }, 0));
  return join(parts);
}

function checkPath(path: string): string {
  const names = path.split('/');
  if (
    names.some((name) => name === '' || name === '.' || name === '..') ||
    path === trailerPath ||
    path.includes('\0')
  ) {
    throw new CpioError(`bad path in an archive: ${quoted(path)}, expected names joined by single slashes`, [
      path,
    ]);
  }
  return path;
}

function addParents(byPath: Map<string, CpioEntry>, path: string): void {
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) {
    const parent = path.slice(0, slash);
    const entry = byPath.get(parent);
    if (entry === undefined) byPath.set(parent, cpio.directory(parent));
    else if (typeOf(entry) !== fileTypes.directory) {
      throw new CpioError(
        `bad path in an archive: ${quoted(path)}, but ${quoted(parent)} is not a directory`,
        [parent, path],
      );
    }
  }
}

/** The type bits of an entry's mode, one of `fileTypes`. */
export function typeOf({ mode }: Pick<CpioEntry, 'mode'>): number {
  return mode & 0o170000;
}

/** One member's bytes: header with path, and data, each with its padding. */
function member(entry: CpioEntry, ino: number): Uint8Array[] {
  const data = entry.data ?? new Uint8Array();
  if (data.length > 0xffffffff)
    throw new CpioError(`too large for an archive: ${quoted(entry.path)}`, [entry.path]);
  const path = bytesOfPath(`${entry.path}\0`);
  const fields: Fields = {
    ...noFields,
    ino,
    mode: entry.mode,
    nlink: typeOf(entry) === fileTypes.directory ? 2 : 1,
    filesize: data.length,
    rdevmajor: entry.device?.major ?? 0,
    rdevminor: entry.device?.minor ?? 0,
    namesize: path.length,
  };
  const digits = fieldNames.map((name) => fields[name].toString(16).padStart(8, '0')).join('');
  const head = new Uint8Array(roundUp(headerChars + path.length, 4));
  head.set(new TextEncoder().encode(magic + digits));
  head.set(path, headerChars);
  return [head, data, new Uint8Array(roundUp(data.length, 4) - data.length)];
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  const archive = new Uint8Array(roundUp(bytes, archiveBlockBytes));
  let at = 0;
  for (const part of parts) {
    archive.set(part, at);
    at += part.length;
  }
  return archive;
}

/**
 * The members of an archive, in its order; data are views of it. Raises CpioError if it is truncated or not
 * newc.
 */
export function readCpio(archive: Uint8Array): CpioEntry[] {
  const entries: CpioEntry[] = [];
  for (let at = 0; ; ) {
    const { fields, path, dataAt } = readHeader(archive, at);
    if (path === trailerPath) return entries;
    const dataEnd = dataAt + fields.filesize;
    if (dataEnd > archive.length) throw new CpioError(`truncated archive: ${quoted(path)} does not end`);
    const isDevice = typeOf(fields) === fileTypes.character || typeOf(fields) === fileTypes.block;
    entries.push({
      path,
      mode: fields.mode,
      ...(fields.filesize > 0 ? { data: archive.subarray(dataAt, dataEnd) } : {}),
      ...(isDevice ? { device: { major: fields.rdevmajor, minor: fields.rdevminor } } : {}),
    });
    at = roundUp(dataEnd, 4);
  }
}

function readHeader(archive: Uint8Array, at: number): { fields: Fields; path: string; dataAt: number } {
  const header = new TextDecoder('latin1').decode(archive.subarray(at, at + headerChars));
  if (header.length < headerChars)
    throw new CpioError(`truncated archive: no trailer, it ends at ${archive.length}`);
  if (!/^070701[0-9a-f]{104}$/i.test(header)) throw new CpioError(`not a newc archive: no header at ${at}`);
  const fields = Object.fromEntries(
    fieldNames.map((name, i) => [name, Number.parseInt(header.slice(6 + i * 8, 14 + i * 8), 16)]),
  ) as Fields;
  const pathEnd = at + headerChars + fields.namesize;
  if (fields.namesize === 0 || pathEnd > archive.length)
    throw new CpioError(`truncated archive: no path at ${at}`);
  if (fields.namesize > longestPath)
    throw new CpioError(`not a newc archive: a path of ${fields.namesize} bytes at ${at}`);
  const path = pathOfBytes(archive.subarray(at + headerChars, pathEnd - 1));
  return { fields, path, dataAt: at + roundUp(headerChars + fields.namesize, 4) };
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
