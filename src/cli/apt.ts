/**
 * Debian packages through apt, as any user may: `apt-cache` to find them, `apt-get download` to fetch and
 * verify them, `dpkg-deb` to unpack them. Nothing is installed.
 */

import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** apt is not there, does not know a package, or could not fetch it. The message is one clear line. */
export class AptError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'AptError';
  }
}

export interface AptPackage {
  readonly name: string;
  readonly version: string;
}

/**
 * The newest package whose whole name matches `pattern`; `prefix` narrows the search. Names are compared
 * number by number. Undefined if apt knows none; raises AptError if there is no apt.
 */
export async function newestPackage(
  prefix: string,
  pattern: RegExp,
  signal?: AbortSignal,
): Promise<AptPackage | undefined> {
  const names = (await run('apt-cache', ['pkgnames', prefix], { signal })).split('\n');
  const matching = names
    .filter((name) => pattern.test(name))
    .sort(compareVersions)
    .reverse();
  for (const name of matching) {
    const policy = await run('apt-cache', ['policy', name], { signal });
    const version = /^ *Candidate: (.*)$/m.exec(policy)?.[1];
    if (version !== undefined && version !== '(none)') return { name, version };
  }
  return undefined;
}

/** Orders names by the numbers in them, then by the letters: `…-9-…` before `…-10-…`. */
export function compareVersions(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** Has apt fetch its lists of packages. It needs root. */
export async function updateLists(signal?: AbortSignal): Promise<void> {
  await run('apt-get', ['-q', 'update'], { signal });
}

/**
 * Fetches packages into `directory`, as apt verified them, and returns the files' paths. `onProgress` is told
 * the fraction that has arrived, from 0 to 1.
 */
export async function downloadPackages(
  packages: readonly AptPackage[],
  directory: string,
  onProgress: (fraction: number) => void = () => {},
  signal?: AbortSignal,
): Promise<string[]> {
  // The sandbox user of a root's apt cannot write into a directory of ours.
  const options = ['-q', '-o', 'APT::Status-Fd=3', '-o', 'APT::Sandbox::User='];
  const names = packages.map(({ name, version }) => `${name}=${version}`);
  const onStatus = (line: string) => {
    const percent = /^dlstatus:\d+:([\d.]+):/.exec(line)?.[1];
    if (percent !== undefined) onProgress(Number(percent) / 100);
  };
  await run('apt-get', [...options, 'download', ...names], { cwd: directory, onStatus, signal });
  const files = await readdir(directory);
  return packages.map(({ name }) => {
    const file = files.find((candidate) => candidate.startsWith(`${name}_`) && candidate.endsWith('.deb'));
    if (file === undefined) throw new AptError(`apt-get fetched no file for ${name}`);
    return join(directory, file);
  });
}

/** Unpacks a package's files under `directory`. */
export async function unpackPackage(file: string, directory: string, signal?: AbortSignal): Promise<void> {
  await run('dpkg-deb', ['-x', file, directory], { signal });
}

interface RunOptions {
  readonly cwd?: string;
  /** Gets each line that the program writes to descriptor 3. */
  readonly onStatus?: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a program to its end and returns what it wrote; raises AptError with the first complaint if it fails.
 */
function run(
  program: string,
  args: readonly string[],
  { cwd, onStatus, signal }: RunOptions,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'pipe', 'pipe', onStatus ? 'pipe' : 'ignore'],
      signal,
    });
    let output = '';
    let complaints = '';
    let status = '';
    let aborted: Error | undefined;
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (complaints += text));
    child.stdio[3]?.on('data', (bytes: Buffer) => {
      const lines = (status + bytes.toString('latin1')).split('\n');
      status = lines.pop()!;
      for (const line of lines) onStatus!(line);
    });
    child.on('error', (error: NodeJS.ErrnoException) => {
      // The program, and what it has started, may write on for a moment: `close` tells when all have ended.
      if (error.name === 'AbortError') aborted = error;
      else if (error.code === 'ENOENT') reject(new AptError(`there is no ${program} on this machine`));
      else reject(new AptError(`${program} cannot run: ${error.message}`));
    });
    child.on('close', (code) => {
      if (aborted) reject(aborted);
      else if (code === 0) resolve(output);
      else
        reject(new AptError(`${program} failed: ${firstComplaint(complaints, output) ?? `status ${code}`}`));
    });
  });
}

/** The line that says what went wrong: apt marks errors with `E:` and fetch errors with `Err:`. */
function firstComplaint(...texts: string[]): string | undefined {
  const lines = texts
    .join('\n')
    .split('\n')
    .map((line) => line.trim());
  return (
    lines
      .find((line) => line.startsWith('E:'))
      ?.slice(2)
      .trim() ?? lines.find((line) => line !== '')
  );
}
