/**
 * The directory where pulled guests stay between runs. An entry is a directory that appears complete or not
 * at all: it is filled under a temporary name and renamed. Processes that want to add entries take turns.
 */

import { randomUUID } from 'node:crypto';
import { lstat, mkdir, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from './file-reasons.ts';

/** The names of temporary directories begin so. */
const incomingPrefix = '.incoming-';
const lockName = '.lock';
const lockPollMs = 200;
const lockTouchMs = 2_000;
const lockStaleMs = 20_000;

/** Nothing can be added to the cache. The message is one clear line that names the directory. */
export class CacheError extends Error {
  constructor(cache: string, reason: string) {
    super(`the cache ${cache} cannot be written: ${reason} (RINGONE_CACHE can name another)`);
    this.name = 'CacheError';
  }
}

/** `$RINGONE_CACHE`, or `ringone` under `$XDG_CACHE_HOME`, or under `~/.cache`. */
export function defaultCacheDirectory(): string {
  const { RINGONE_CACHE, XDG_CACHE_HOME } = process.env;
  return RINGONE_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'ringone');
}

/** The names of all complete entries. */
export async function cacheEntries(cache: string): Promise<string[]> {
  const names = await readdir(cache).catch(() => []);
  return names.filter((name) => !name.startsWith('.')).sort();
}

/**
 * Runs `fill` on a new empty directory and makes that the entry `name` if it succeeds; otherwise nothing
 * stays. An entry of that name that has come up meanwhile is kept. Returns the entry's path. Raises CacheError.
 */
export async function addCacheEntry(
  cache: string,
  name: string,
  fill: (directory: string) => Promise<void>,
): Promise<string> {
  const target = join(cache, name);
  await withTemporary(cache, async (temporary) => {
    const entry = join(temporary, 'entry');
    await writing(cache, () => mkdir(entry));
    await fill(entry);
    try {
      await writing(cache, () => rename(entry, target));
    } catch (error) {
      if (!(await exists(target))) throw error;
    }
  });
  return target;
}

/** Runs `use` on a new empty directory inside the cache, which is removed afterwards, come what may. Raises CacheError. */
export async function withTemporary<T>(cache: string, use: (directory: string) => Promise<T>): Promise<T> {
  const directory = join(cache, `${incomingPrefix}${randomUUID()}`);
  await writing(cache, () => makeDirectory(directory));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * Runs `action` while no other process holds the cache's lock, and clears away what killed processes left.
 * The lock saves double downloads, no more: entries appear atomically with or without it. Its holder touches
 * it now and then, so that one left behind is known by its age (a process id means nothing in another
 * container). Raises CacheError where there can be no lock.
 */
export async function withCacheLock<T>(
  cache: string,
  action: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const lock = join(cache, lockName);
  await writing(cache, () => makeDirectory(cache));
  while (!(await writing(cache, () => takeLock(lock))))
    await sleep(lockPollMs, undefined, signal ? { signal } : {});
  const touching = setInterval(() => {
    const now = new Date();
    utimes(lock, now, now).catch(() => {});
  }, lockTouchMs);
  try {
    await removeLeftovers(cache);
    return await action();
  } finally {
    clearInterval(touching);
    await rm(lock, { force: true });
  }
}

async function takeLock(lock: string): Promise<boolean> {
  try {
    await writeFile(lock, '', { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const info = await lstat(lock).catch(() => undefined);
  if (info !== undefined && Date.now() - info.mtimeMs > lockStaleMs) await rm(lock, { force: true });
  return false;
}

async function removeLeftovers(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.startsWith(incomingPrefix)) continue;
    // What another user left may stay: it is in nobody's way.
    await rm(join(cache, name), { recursive: true, force: true }).catch(() => {});
  }
}

/** Runs an operation on the file system that adds to the cache. */
async function writing<T>(cache: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw new CacheError(cache, reasonOf(error));
  }
}

/**
 * Makes a directory, and those above it that are missing. (Node's own way, `recursive`, never ends where the directory above is
 * there and takes none, as in /proc.)
 */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return mustBeDirectory(path);
    const parent = dirname(path);
    if (code !== 'ENOENT' || parent === path) throw error;
    await makeDirectory(parent);
    // Another process may have been as quick.
    await mkdir(path).catch((again: NodeJS.ErrnoException) => {
      if (again.code === 'EEXIST') return mustBeDirectory(path);
      throw again.code === 'ENOENT' ? new Error(`${parent} takes no directory`) : again;
    });
  }
}

async function mustBeDirectory(path: string): Promise<void> {
  const info = await stat(path).catch(() => undefined);
  if (info?.isDirectory() !== true) throw new Error(`${path} is no directory`);
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
