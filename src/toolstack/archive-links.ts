/**
 * Symbolic links among the files of an archive, followed as Linux will when it has unpacked them: from the archive's root, which
 * is the guest's. A tree with a merged /usr has `bin -> usr/bin`, and what another layer has in `bin` belongs in `usr/bin`.
 */
import { type CpioEntry, CpioError, fileTypes, pathOfBytes, typeOf } from './cpio.ts';
import { quoted } from './quoted.ts';

/** As many as Linux follows (MAXSYMLINKS). */
const MOST_LINKS = 40;

/**
 * The entries of `ground` with those of `tree` over them. A file of the ground goes where the tree's links lead; so does a
 * directory, if that is inside of the archive. Raises CpioError for a link that leads a file out of it, or round in a circle.
 */
export function layered(ground: readonly CpioEntry[], tree: readonly CpioEntry[]): CpioEntry[] {
  const entries = new Map(tree.map((entry) => [entry.path, entry]));
  return [...ground.flatMap((entry) => placed(entry, entries)), ...tree];
}

function placed(entry: CpioEntry, tree: ReadonlyMap<string, CpioEntry>): CpioEntry[] {
  if (typeOf(entry) === fileTypes.directory) {
    try {
      const path = follow(entry.path, tree);
      return path === '' ? [] : [{ ...entry, path }];
    } catch (error) {
      // The link stands in its place, and the guest makes of it what it can.
      if (error instanceof CpioError) return [];
      throw error;
    }
  }
  const slash = entry.path.lastIndexOf('/');
  const directory = slash < 0 ? '' : follow(entry.path.slice(0, slash), tree);
  const name = entry.path.slice(slash + 1);
  return [{ ...entry, path: directory === '' ? name : `${directory}/${name}` }];
}

/** Where a path leads when each link on it is followed, the last one too. The root is the empty path. */
function follow(path: string, tree: ReadonlyMap<string, CpioEntry>): string {
  const ahead = path.split('/');
  let behind: string[] = [];
  let lastLink = '';
  let lastTarget = '';
  for (let links = 0; ahead.length > 0; ) {
    const name = ahead.shift()!;
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (behind.pop() === undefined) throw badLink(lastLink, `leads out of it, to ${quoted(lastTarget)}`);
      continue;
    }
    const here = [...behind, name].join('/');
    const entry = tree.get(here);
    if (entry === undefined || typeOf(entry) !== fileTypes.symlink) {
      behind.push(name);
      continue;
    }
    lastLink = here;
    lastTarget = pathOfBytes(entry.data ?? new Uint8Array());
    if (++links > MOST_LINKS) throw badLink(lastLink, 'leads round in a circle');
    if (lastTarget.startsWith('/')) behind = [];
    ahead.unshift(...lastTarget.split('/'));
  }
  return behind.join('/');
}

function badLink(path: string, problem: string): CpioError {
  return new CpioError(`bad link in an archive: ${quoted(path)} ${problem}`, [path]);
}
