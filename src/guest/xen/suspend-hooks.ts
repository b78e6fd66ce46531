/**
 * Who has to do something when the domain is suspended: parts that hold what does not survive register a pair of functions
 * here. A part may stand on those that registered before it, so `before` goes from the last to the first, and `after`
 * from the first to the last. `suspend.ts` says when.
 */

const MOST_HOOKS: usize = 16;
/** Pairs of table indices: `() => void` and `(cancelled: bool) => void`. */
const hooks: usize = memory.data(16 * 8, 4);
let count: usize = 0;

/** Registers a pair, once. `after` is told whether the suspend was called off, in which case nothing has changed. */
export function onSuspend(before: () => void, after: (cancelled: bool) => void): void {
  for (let hook = hooks; hook < hooks + count * 8; hook += 8) {
    if (load<u32>(hook) === before.index && load<u32>(hook, 4) === after.index) return;
  }
  if (count === MOST_HOOKS) unreachable();
  store<u32>(hooks + count * 8, before.index);
  store<u32>(hooks + count * 8, after.index, 4);
  count++;
}

/** For a part that has nothing to do before. */
export function nothingBefore(): void {}

export function callBefore(): void {
  for (let i = count; i > 0; i--) call_indirect<void>(load<u32>(hooks + (i - 1) * 8));
}

export function callAfter(cancelled: bool): void {
  for (let i: usize = 0; i < count; i++) call_indirect<void>(load<u32>(hooks + i * 8, 4), cancelled);
}
