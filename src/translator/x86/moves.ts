/**
 * Moves several values to several registers at once, as before a call: no source may be overwritten before it is read.
 */
import type { Gpr } from './registers.ts';

export interface RegisterMove {
  readonly to: Gpr;
  readonly from: Gpr;
}

export type OrderedMove =
  | { readonly kind: 'move'; readonly to: Gpr; readonly from: Gpr }
  /** Closes a circle. */
  | { readonly kind: 'exchange'; readonly left: Gpr; readonly right: Gpr };

/** The same moves in an order that works. A register is the target of one move at most. */
export function orderMoves(moves: readonly RegisterMove[]): OrderedMove[] {
  const pending = new Map(moves.filter(({ to, from }) => to !== from).map(({ to, from }) => [to, from]));
  const ordered: OrderedMove[] = [];
  while (pending.size > 0) {
    const needed = new Set(pending.values());
    const free = [...pending].find(([to]) => !needed.has(to));
    if (free !== undefined) {
      const [to, from] = free;
      ordered.push({ kind: 'move', to, from });
      pending.delete(to);
      continue;
    }
    // Only circles are left. After the exchange `to` is right, and what was wanted from `to` is found in `from`.
    const [to, from] = [...pending][0]!;
    ordered.push({ kind: 'exchange', left: to, right: from });
    pending.delete(to);
    for (const [other, source] of pending) {
      if (source === to) pending.set(other, from);
      if (pending.get(other) === other) pending.delete(other);
    }
  }
  return ordered;
}
