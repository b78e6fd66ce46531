/**
 * Lazy modes: stretches of kernel code during which a back end may keep requests back, to make many at once.
 *
 * There are two, for updates of page tables and for a switch of tasks, and one at most is on. They do not nest: a mode that
 * were left twice would end too soon for the one outside. The one exception is written down here: tasks may be switched in
 * the middle of page-table updates, which then go on being lazy when their task comes back. In an interrupt handler no
 * mode is on, whatever was interrupted; what a handler asks for is done at once. (Linux: arch/x86/kernel/paravirt.c.)
 */

export const LAZY_NONE: u32 = 0;
export const LAZY_MMU: u32 = 1;
export const LAZY_CPU: u32 = 2;

let mode: u32 = LAZY_NONE;
let interruptDepth: u32 = 0;
/** The task that is being left was in LAZY_MMU; its own record of that is the kernel's to keep. */
let mmuInterrupted: bool = false;

/** The mode that is on: LAZY_NONE while an interrupt is handled. */
export function lazyMode(): u32 {
  return interruptDepth > 0 ? LAZY_NONE : mode;
}

function enter(next: u32): void {
  if (mode !== LAZY_NONE) unreachable();
  mode = next;
}

function leave(current: u32): void {
  if (mode !== current) unreachable();
  mode = LAZY_NONE;
}

/** Page-table updates may be kept back. Stops the kernel if a mode is on. */
export function enterLazyMmuMode(): void {
  enter(LAZY_MMU);
}

/** Ends it; whatever was kept back has to be made before. Stops the kernel if it is not on. */
export function leaveLazyMmuMode(): void {
  leave(LAZY_MMU);
}

/** A switch of tasks begins. If the task that is left was updating page tables, what it kept back must be made before. */
export function enterLazyCpuMode(): void {
  mmuInterrupted = mode === LAZY_MMU;
  if (mmuInterrupted) leave(LAZY_MMU);
  enter(LAZY_CPU);
}

/** During a switch: whether the task that is left was in the middle of lazy updates. The kernel keeps it with the task. */
export function leftLazyMmu(): bool {
  return mmuInterrupted;
}

/** During a switch: what was kept with the task that comes back. Without it, it goes on as the one before was. */
export function setLeftLazyMmu(left: bool): void {
  mmuInterrupted = left;
}

/** The switch is over. `resumeMmu`: the task that is there now was left in the middle of its updates. */
export function leaveLazyCpuMode(resumeMmu: bool): void {
  leave(LAZY_CPU);
  if (resumeMmu) enter(LAZY_MMU);
}

/** An interrupt handler begins and ends; they nest. */
export function enterInterrupt(): void {
  interruptDepth++;
}

export function leaveInterrupt(): void {
  interruptDepth--;
}

/**
 * A task that begins its life in the middle of an interrupt handler's switch has not come out of one. The kernel keeps the
 * depth with each task: it sets here what the task that it switches to had.
 */
export function setInterruptDepth(depth: u32): void {
  interruptDepth = depth;
}

export function getInterruptDepth(): u32 {
  return interruptDepth;
}
