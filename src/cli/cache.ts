/**
 * The directory where pulled guests stay between runs. An entry is a directory that appears complete or not
 * at all: it is filled under a temporary name and renamed. Processes that want to add entries take turns.
 */

import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The names of temporary directories begin so. */
const incomingPrefix = '.incoming-';
const lockName = '.lock';
const lockPollMs = 200;
const lockTouchMs = 2_000;
const lockStaleMs = 20_000;

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
 * stays. An entry of that name that has come up meanwhile is kept. Returns the entry's path.
 */
export async function addCacheEntry(
  cache: string,
  name: string,
  fill: (directory: string) => Promise<void>,
): Promise<string> {
  const target = join(cache, name);
  await withTemporary(cache, async (temporary) => {
    const entry = join(temporary, 'entry');
    await mkdir(entry);
    await fill(entry);
    try {
      await rename(entry, target);
    } catch (error) {
      if (!(await exists(target))) throw error;
    }
  });
  return target;
}

/** Runs `use` on a new empty directory inside the cache, which is removed afterwards, come what may. */
export async function withTemporary<T>(cache: string, use: (directory: string) => Promise<T>): Promise<T> {
  const directory = join(cache, `${incomingPrefix}${randomUUID()}`);
  await mkdir(directory, { recursive: true });
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
 * container).
 */
export async function withCacheLock<T>(
  cache: string,
  action: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  await mkdir(cache, { recursive: true });
  const lock = join(cache, lockName);
  while (!(await takeLock(lock))) await sleep(lockPollMs, undefined, signal ? { signal } : {});
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
  const info = await stat(lock).catch(() => undefined);
  if (info !== undefined && Date.now() - info.mtimeMs > lockStaleMs) await rm(lock, { force: true });
  return false;
}

async function removeLeftovers(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (name.startsWith(incomingPrefix)) await rm(join(cache, name), { recursive: true, force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
