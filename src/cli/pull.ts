/**
 * `ringone pull`: Debian's kernels, with their modules and a static busybox, brought into the cache as ready
 * files. What is there already is not fetched again; without a network the newest that is there serves.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  AptError,
  type AptPackage,
  compareVersions,
  downloadPackages,
  newestPackage,
  unpackPackage,
  updateLists,
} from './apt.ts';
import {
  addCacheEntry,
  CacheError,
  cacheEntries,
  defaultCacheDirectory,
  withCacheLock,
  withTemporary,
} from './cache.ts';
import { noProgress, type Progress, progressBar } from './progress.ts';

/**
 * The kernels that `pull debian:…` knows. The unsigned packages hold the same kernels and no boot-loader
 * trappings.
 */
const kernels = {
  '6.1': { prefix: 'linux-image-6.1.0-', pattern: /^linux-image-6\.1\.0-\d+-amd64-unsigned$/ },
  '6.12': { prefix: 'linux-image-6.12.', pattern: /^linux-image-6\.12\.\d+\+deb\d+-amd64-unsigned$/ },
  cloud: { prefix: 'linux-image-6.1.0-', pattern: /^linux-image-6\.1\.0-\d+-cloud-amd64-unsigned$/ },
} as const;

export type DebianKernel = keyof typeof kernels;

/** What plain `debian` means: the kernel that is smallest to fetch and fastest to start. */
const defaultKernel: DebianKernel = 'cloud';

const busybox = { prefix: 'busybox-static', pattern: /^busybox-static$/ };

/** A guest's files on this machine. */
export interface PulledGuest {
  /** `debian:6.1`, `debian:6.12` or `debian:cloud`. */
  readonly name: string;
  /** The kernel package's version. */
  readonly version: string;
  /** Paths: the bzImage, the directory of modules (`…/lib/modules/RELEASE`), the static busybox. */
  readonly kernel: string;
  readonly modules: string;
  readonly busybox: string;
}

export interface PullOptions {
  readonly cacheDir?: string | undefined;
  readonly progress?: Progress | undefined;
  /** Aborting leaves the cache as it was. */
  readonly signal?: AbortSignal | undefined;
  /** Gets a line that is worth knowing: that the network was not there and an older copy serves. */
  readonly notice?: ((line: string) => void) | undefined;
}

/** A guest cannot be brought here. The message is one clear line that says why and what to pass instead. */
export class PullError extends Error {
  constructor(guest: string, reason: string) {
    super(`cannot pull ${guest}: ${reason}; with a kernel of your own pass --kernel FILE --ramdisk FILE`);
    this.name = 'PullError';
  }
}

/** Which kernel `debian` or `debian:KERNEL` names; undefined if `name` is no such name. */
export function debianKernel(name: string): DebianKernel | undefined {
  if (name === 'debian') return defaultKernel;
  const kernel = /^debian:(.*)$/.exec(name)?.[1];
  return kernel !== undefined && Object.hasOwn(kernels, kernel) ? (kernel as DebianKernel) : undefined;
}

/** The names that `pull` takes, for messages. */
export const guestNames: readonly string[] = Object.keys(kernels).map((kernel) => `debian:${kernel}`);

/**
 * Brings the newest kernel of a kind, its modules and busybox into the cache. Raises PullError if that cannot
 * be.
 */
export async function pullDebian(which: DebianKernel, options: PullOptions = {}): Promise<PulledGuest> {
  const name = `debian:${which}`;
  const [kernel, tools] = await pullPackages(name, [kernels[which], busybox], options);
  try {
    const boot = await readdir(join(kernel.directory, 'boot'));
    const file = boot.find((entry) => entry.startsWith('vmlinuz-'));
    if (file === undefined) throw new Error('it has no boot/vmlinuz-*');
    return {
      name,
      version: kernel.version,
      kernel: join(kernel.directory, 'boot', file),
      modules: await firstThatExists(
        kernel.directory,
        ['lib', 'usr/lib'],
        join('modules', file.slice('vmlinuz-'.length)),
      ),
      busybox: await firstThatExists(tools.directory, ['bin', 'usr/bin'], 'busybox'),
    };
  } catch (error) {
    throw new PullError(
      name,
      `the package in ${kernel.directory} is not as expected: ${(error as Error).message}`,
    );
  }
}

/**
 * Brings Debian's static busybox alone into the cache and returns its path. Raises PullError if that cannot
 * be.
 */
export async function pullBusybox(options: PullOptions = {}): Promise<string> {
  const [{ directory }] = await pullPackages('busybox', [busybox], options);
  return firstThatExists(directory, ['bin', 'usr/bin'], 'busybox');
}

/**
 * `ringone pull NAME`: pulls, shows progress and notices on stderr, and prints the guest's paths as JSON on
 * stdout. Returns the exit status: 0, or 130 or 143 if a signal ended it, with nothing half done. Raises
 * PullError.
 */
export async function pullCommand(name: string): Promise<number> {
  const which = debianKernel(name);
  if (which === undefined)
    throw new PullError(name, `the guests to pull are debian, ${guestNames.join(', ')}`);
  const aborter = new AbortController();
  let status = 0;
  const stop = (signal: NodeJS.Signals) => {
    status = signal === 'SIGINT' ? 130 : 143;
    aborter.abort();
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  try {
    const notice = (line: string) => process.stderr.write(`ringone: ${line}\n`);
    const pulled = await pullDebian(which, { progress: progressBar(), signal: aborter.signal, notice });
    process.stdout.write(`${JSON.stringify(pulled, undefined, 2)}\n`);
  } catch (error) {
    if (!aborter.signal.aborted) throw error;
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
  return status;
}

/** One of the packages to bring: the newest whose name matches. */
export interface PackageChoice {
  readonly prefix: string;
  readonly pattern: RegExp;
}

/** A package's files in the cache. */
export interface PulledPackage {
  readonly directory: string;
  readonly version: string;
}

/**
 * Brings the newest package of each choice into the cache, unpacked, one directory each. `guest` is what
 * errors call the whole. Raises PullError where neither apt nor the cache has them.
 */
export async function pullPackages(
  guest: string,
  choices: readonly PackageChoice[],
  options: PullOptions = {},
): Promise<PulledPackage[]> {
  const { cacheDir = defaultCacheDirectory(), progress = noProgress, notice = () => {}, signal } = options;
  try {
    return await withCacheLock(cacheDir, () => bring(cacheDir, choices, progress, signal), signal);
  } catch (error) {
    if (!(error instanceof AptError || error instanceof CacheError)) throw error;
    const entries = await cacheEntries(cacheDir);
    const cached = choices.map((choice) => newestEntry(entries, choice));
    if (cached.includes(undefined)) throw new PullError(guest, error.message);
    // A cache that nothing can be added to is as good as any while nothing is missing.
    const isComplete = error instanceof CacheError && (await areNewest(cached, choices, progress, signal));
    if (!isComplete)
      notice(`using the copy of ${guest} in ${cacheDir}, which may not be the newest: ${error.message}`);
    return cached.map((entry) => ({ directory: join(cacheDir, entry!), version: versionOf(entry!) }));
  } finally {
    progress.clear();
  }
}

async function bring(
  cache: string,
  choices: readonly PackageChoice[],
  progress: Progress,
  signal?: AbortSignal,
): Promise<PulledPackage[]> {
  progress.show('looking for the newest packages');
  const { packages, updated } = await resolve(choices, progress, signal);
  try {
    await bringMissing(cache, packages, progress, signal);
    return packages.map((found) => ({ directory: join(cache, entryName(found)), version: found.version }));
  } catch (error) {
    // Lists that are out of date name files that are gone from the archive.
    if (updated || !(error instanceof AptError) || !isRoot()) throw error;
  }
  progress.show('updating the lists of packages');
  await updateLists(signal);
  const { packages: newer } = await resolve(choices, progress, signal);
  await bringMissing(cache, newer, progress, signal);
  return newer.map((found) => ({ directory: join(cache, entryName(found)), version: found.version }));
}

/** The newest package of each choice; empty lists are fetched first, which takes root. */
async function resolve(
  choices: readonly PackageChoice[],
  progress: Progress,
  signal?: AbortSignal,
): Promise<{ packages: AptPackage[]; updated: boolean }> {
  for (let updated = false; ; updated = true) {
    const found = await Promise.all(
      choices.map(({ prefix, pattern }) => newestPackage(prefix, pattern, signal)),
    );
    const missing = found.indexOf(undefined);
    if (missing < 0) return { packages: found as AptPackage[], updated };
    const sought = `apt knows no package ${choices[missing].prefix}*`;
    if (updated) throw new AptError(`${sought}; its sources should name Debian 12 (bookworm), amd64`);
    if (!isRoot()) throw new AptError(`${sought}; it may need "apt-get update" by root`);
    progress.show('updating the lists of packages');
    await updateLists(signal);
  }
}

/** Whether these entries are what would be fetched now, as far as apt can tell. */
async function areNewest(
  entries: readonly (string | undefined)[],
  choices: readonly PackageChoice[],
  progress: Progress,
  signal?: AbortSignal,
): Promise<boolean> {
  try {
    const { packages } = await resolve(choices, progress, signal);
    return packages.every((wanted, i) => entryName(wanted) === entries[i]);
  } catch (error) {
    if (error instanceof AptError) return false;
    throw error;
  }
}

async function bringMissing(
  cache: string,
  packages: readonly AptPackage[],
  progress: Progress,
  signal?: AbortSignal,
): Promise<void> {
  const entries = await cacheEntries(cache);
  const missing = packages.filter((wanted) => !entries.includes(entryName(wanted)));
  if (missing.length === 0) return;
  await withTemporary(cache, async (downloads) => {
    const label = `fetching ${missing.map(({ name }) => name).join(', ')}`;
    progress.show(label, 0);
    const files = await downloadPackages(
      missing,
      downloads,
      (fraction) => progress.show(label, fraction),
      signal,
    );
    for (const [i, wanted] of missing.entries()) {
      progress.show(`unpacking ${wanted.name}`);
      await addCacheEntry(cache, entryName(wanted), (directory) =>
        unpackPackage(files[i], directory, signal),
      );
    }
  });
}

/** An entry is called as the package's file is: NAME_VERSION, the epoch's colon escaped. */
function entryName({ name, version }: AptPackage): string {
  return `${name}_${version.replaceAll(':', '%3a')}`;
}

function versionOf(entry: string): string {
  return entry.slice(entry.indexOf('_') + 1).replaceAll('%3a', ':');
}

function newestEntry(entries: readonly string[], { pattern }: PackageChoice): string | undefined {
  return entries
    .filter((entry) => pattern.test(entry.slice(0, entry.indexOf('_'))))
    .sort(compareVersions)
    .at(-1);
}

/**
 * `directory/prefix/path` for the first prefix under which it is there: Debian has moved `/bin` and `/lib`
 * into `/usr`.
 */
async function firstThatExists(
  directory: string,
  prefixes: readonly string[],
  path: string,
): Promise<string> {
  const [name] = path.split('/').slice(-1);
  for (const prefix of prefixes) {
    const candidate = join(directory, prefix, path);
    const siblings = await readdir(join(candidate, '..')).catch(() => [] as string[]);
    if (siblings.includes(name)) return candidate;
  }
  throw new Error(`it has no ${prefixes[0]}/${path}`);
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
