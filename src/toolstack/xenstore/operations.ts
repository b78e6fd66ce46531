/**
 * What one can do to a node, with the checks that belong to it: permissions, paths, quotas.
 *
 * Each operation works on any Tree, so it means the same inside a transaction and outside. Every check comes
 * before the first change: an operation that raises has changed nothing. Paths are absolute here
 * (`canonicalPath`).
 *
 * Which error a guest sees follows tools/xenstore/xenstored_core.c. The rule behind it: a node may be
 * readable though its parents are not, but whoever may not read the nearest existing ancestor learns nothing,
 * not even that a node is missing: EACCES instead of ENOENT.
 */

import { checkPath, childPath, leafName, parentPath } from './paths.ts';
import { Access, type Actor, accessOf, type Permission } from './permissions.ts';
import type { Account, Quota } from './quota.ts';
import { type NodeContent, nodeBytes, type StoreNode, type Tree } from './store.ts';
import { XenstoreError } from './wire.ts';

/** Who asks, of which view of the tree, under which limits. */
export interface Request {
  readonly actor: Actor & { readonly account: Account };
  readonly tree: Tree;
  readonly quota: Quota;
  /** Whether a domain exists, so that it may be given permissions. */
  readonly domainExists: (domid: number) => boolean;
}

const EMPTY = new Uint8Array(0);

/** The value of a node. Raises ENOENT, EACCES, EINVAL. */
export function readValue(request: Request, path: string): Uint8Array {
  return mustFind(request, path, Access.READ).value;
}

/**
 * A node for DIRECTORY and DIRECTORY_PART: names of children and generation. Raises ENOENT, EACCES, EINVAL.
 */
export function readDirectory(request: Request, path: string): StoreNode {
  return mustFind(request, path, Access.READ);
}

/** The permissions of a node, the owner's entry first. Raises ENOENT, EACCES, EINVAL. */
export function readPermissions(request: Request, path: string): readonly Permission[] {
  return mustFind(request, path, Access.READ).permissions;
}

/**
 * Sets the value of a node and creates it and its parents where they are missing. Raises EACCES, EINVAL,
 * ENOSPC.
 */
export function writeValue(request: Request, path: string, value: Uint8Array): void {
  const before = find(request, path, Access.WRITE);
  if (before) {
    replace(request, path, before, { ...before, value });
  } else {
    create(request, path, value);
  }
  request.tree.announce({ path, before, exact: false });
}

/** Creates a node with an empty value, and its parents, unless it exists. Raises EACCES, EINVAL, ENOSPC. */
export function makeDirectory(request: Request, path: string): void {
  if (find(request, path, Access.WRITE)) return;
  create(request, path, EMPTY);
  request.tree.announce({ path, before: undefined, exact: false });
}

/** Removes a node and all below it. Raises ENOENT only if the parent is missing too; EINVAL for the root. */
export function removeNode(request: Request, path: string): void {
  const { tree } = request;
  const node = find(request, path, Access.WRITE);
  if (!node) {
    if (!tree.read(parentPath(path)))
      throw new XenstoreError('ENOENT', `the parent of ${path} does not exist`);
    return;
  }
  if (path === '/') throw new XenstoreError('EINVAL', 'the root cannot be removed');
  removeSubtree(tree, path);
}

/**
 * Replaces a node's permissions. Only its owner may, and only the control domain may change the owner
 * (EPERM).
 */
export function writePermissions(request: Request, path: string, permissions: readonly Permission[]): void {
  const checked = checkPermissions(request, permissions);
  const before = mustFind(request, path, Access.WRITE | Access.OWNER);
  if (!request.actor.privileged && checked[0]!.domid !== before.permissions[0]!.domid) {
    throw new XenstoreError('EPERM', `only the control domain may change the owner of ${path}`);
  }
  replace(request, path, before, { ...before, permissions: checked });
  request.tree.announce({ path, before, exact: false });
}

/**
 * Permissions as they may be stored: entries for domains that do not exist are marked stale. Raises ENOSPC
 * for too many entries and ENOENT for an owner that does not exist.
 */
export function checkPermissions(request: Request, permissions: readonly Permission[]): Permission[] {
  if (!request.actor.privileged && permissions.length > request.quota.permissions) {
    throw new XenstoreError('ENOSPC', `a node carries at most ${request.quota.permissions} permissions`);
  }
  const checked = permissions.map((entry) =>
    request.domainExists(entry.domid) ? entry : { ...entry, stale: true },
  );
  if (checked[0]?.stale) throw new XenstoreError('ENOENT', `domain ${checked[0].domid} does not exist`);
  return checked;
}

/** Removes a node that exists, without asking anyone: children first, each told to those who watch it. */
export function removeSubtree(tree: Tree, path: string): void {
  const visit = (at: string): void => {
    const before = tree.read(at)!;
    for (const name of before.children) visit(childPath(at, name));
    tree.remove(at);
    // Watches above the removed subtree hear of its root only.
    tree.announce({ path: at, before, exact: at !== path });
  };
  const parent = tree.read(parentPath(path))!;
  const name = leafName(path);
  tree.write(parentPath(path), { ...parent, children: parent.children.filter((child) => child !== name) });
  visit(path);
}

/** The node, with at least this access. Raises EINVAL, EACCES, ENOENT. */
function mustFind(request: Request, path: string, wanted: number): StoreNode {
  const node = find(request, path, wanted);
  if (!node) throw new XenstoreError('ENOENT', `${path} does not exist`);
  return node;
}

/** The node, or undefined if it is missing and the actor may know that. Raises EINVAL, EACCES. */
function find({ actor, tree, quota }: Request, path: string, wanted: number): StoreNode | undefined {
  checkPath(path, quota.pathLength);
  const node = tree.read(path);
  if (node && (accessOf(actor, node.permissions) & wanted) === wanted) return node;
  if (!node && (accessOf(actor, nearestAncestor(tree, path).permissions) & wanted) !== 0) return undefined;
  throw new XenstoreError('EACCES', `domain ${actor.domid} may not access ${path}`);
}

function nearestAncestor(tree: Tree, path: string): StoreNode {
  let at = path;
  for (;;) {
    at = parentPath(at);
    const node = tree.read(at);
    if (node) return node;
  }
}

/**
 * Creates a node and the parents that are missing; they inherit permissions, a guest owns what it creates.
 */
function create(request: Request, path: string, value: Uint8Array): void {
  const { actor, tree, quota } = request;
  const missing: string[] = [];
  let ancestorPath = path;
  let ancestor: StoreNode | undefined;
  while (!ancestor) {
    missing.push(ancestorPath);
    ancestorPath = parentPath(ancestorPath);
    ancestor = tree.read(ancestorPath);
  }
  if (!actor.privileged && tree.nodesOwned(actor.domid) + missing.length > quota.nodes) {
    throw new XenstoreError('ENOSPC', `domain ${actor.domid} may own at most ${quota.nodes} nodes`);
  }
  const [owner, ...others] = ancestor.permissions as readonly [Permission, ...Permission[]];
  const permissions = actor.privileged ? ancestor.permissions : [{ ...owner, domid: actor.domid }, ...others];

  const parent = { ...ancestor, children: [...ancestor.children, leafName(missing.at(-1)!)] };
  const created = missing.map((_, index) => ({
    permissions,
    value: index === 0 ? value : EMPTY,
    children: index === 0 ? [] : [leafName(missing[index - 1]!)],
  }));
  checkSize(request, parent, nodeBytes(parent) - nodeBytes(ancestor));
  for (const [index, node] of created.entries()) {
    checkSize(request, node, nodeBytes(node) + missing[index]!.length);
  }
  tree.write(ancestorPath, parent);
  for (let i = missing.length - 1; i >= 0; i--) tree.write(missing[i]!, created[i]!);
}

function replace(request: Request, path: string, before: StoreNode, after: NodeContent): void {
  checkSize(request, after, nodeBytes(after) - nodeBytes(before));
  request.tree.write(path, after);
}

function checkSize({ actor, quota }: Request, node: NodeContent, growth: number): void {
  if (actor.privileged) return;
  if (nodeBytes(node) >= quota.nodeSize) {
    throw new XenstoreError('ENOSPC', `a node must be smaller than ${quota.nodeSize} bytes`);
  }
  if (growth > 0 && actor.account.memory + growth > quota.memory) {
    throw new XenstoreError('ENOMEM', `domain ${actor.domid} may use at most ${quota.memory} bytes`);
  }
}
