/**
 * Paths of the store: which are legal, what a relative one means, who lies below whom.
 *
 * A path starts with a slash, has no empty part and no slash at its end, and uses letters, digits and `- / _
 * @` (docs/misc/xenstore.txt). A path that starts with `@` names a special event and is no node.
 */
import { quoted } from '../quoted.ts';
import { ABSOLUTE_PATH_MAX, XenstoreError } from './wire.ts';

const LEGAL = /^\/(?:[-A-Za-z0-9_@]+(?:\/[-A-Za-z0-9_@]+)*)?$/;
const DOMAIN_PREFIX = /^\/local\/domain\/\d{1,5}\//;

/** `/local/domain/<domid>`: the directory that a domain's relative paths start from. */
export function domainPath(domid: number): string {
  return `/local/domain/${domid}`;
}

/** Makes a relative path absolute for its domain; absolute and special paths stay as they are. */
export function canonicalPath(path: string, domid: number): string {
  return path.startsWith('/') || path.startsWith('@') ? path : `${domainPath(domid)}/${path}`;
}

/**
 * Raises EINVAL unless `path` can name a node. `pathLength` is the quota in bytes, which leaves out the
 * prefix `/local/domain/<domid>/`, so that a domain may use a full relative path whatever its number.
 */
export function checkPath(path: string, pathLength: number): void {
  const prefix = DOMAIN_PREFIX.exec(path)?.[0].length ?? 0;
  if (path.length > prefix + pathLength || path.length > ABSOLUTE_PATH_MAX) {
    throw new XenstoreError('EINVAL', `a path of ${path.length} bytes is longer than allowed`);
  }
  if (!LEGAL.test(path)) throw new XenstoreError('EINVAL', `${quoted(path)} is no legal path`);
}

/** The parent of a legal path; the root is its own parent. */
export function parentPath(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

/** The last part of a legal path that is not the root. */
export function leafName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** The path of a child. */
export function childPath(path: string, name: string): string {
  return path === '/' ? `/${name}` : `${path}/${name}`;
}

/** How many levels `path` lies below `ancestor`: 0 for itself, undefined if it does not lie there. */
export function levelsBelow(path: string, ancestor: string): number | undefined {
  if (path === ancestor) return 0;
  const prefix = ancestor === '/' ? '/' : `${ancestor}/`;
  if (!path.startsWith(prefix)) return undefined;
  let levels = 1;
  for (let i = prefix.length; i < path.length; i++) if (path[i] === '/') levels++;
  return levels;
}
