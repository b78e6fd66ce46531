/**
 * How a domain comes to its end by its own doing: shutdown codes and watchdogs.
 *
 * (Xen 4.17, xen/common/domain.c: domain_shutdown; xen/common/sched/core.c: domain_watchdog; public/sched.h.)
 */
import {
  SHUTDOWN_crash,
  SHUTDOWN_poweroff,
  SHUTDOWN_reboot,
  SHUTDOWN_soft_reset,
  SHUTDOWN_suspend,
  SHUTDOWN_watchdog,
  XEN_EINVAL,
  XEN_ENOSPC,
} from '../abi/xen/numbers/index.ts';
import type { ShutdownReason } from '../hypervisor/domain.ts';
import { Timer } from '../hypervisor/timers.ts';
import type { XenDomain } from './domain.ts';
import type { XenVcpu } from './vcpu.ts';

const REASONS: Readonly<Record<number, ShutdownReason>> = {
  [SHUTDOWN_poweroff]: 'poweroff',
  [SHUTDOWN_reboot]: 'reboot',
  [SHUTDOWN_suspend]: 'suspend',
  [SHUTDOWN_crash]: 'crash',
  [SHUTDOWN_watchdog]: 'watchdog',
  [SHUTDOWN_soft_reset]: 'soft_reset',
};

const WATCHDOGS = 2;
const NS_PER_SECOND = 1e9;

/** What this file keeps of a domain. */
interface Life {
  /** SHUTDOWN_*, once SCHEDOP_shutdown_code or a shutdown has set it. */
  code: number | undefined;
  readonly watchdogs: (Timer | undefined)[];
}

const lives = new WeakMap<XenDomain, Life>();

function lifeOf(domain: XenDomain): Life {
  let life = lives.get(domain);
  if (life === undefined) {
    life = { code: undefined, watchdogs: new Array(WATCHDOGS).fill(undefined) };
    lives.set(domain, life);
  }
  return life;
}

/** Sets the code of the shutdown to come; the first one set stands. */
export function noteShutdownCode(domain: XenDomain, code: number): void {
  lifeOf(domain).code ??= code;
}

/**
 * Stops the domain for SHUTDOWN_`code`, or for the code that was noted before. `by` is the vCPU that asked: a crash is
 * reported with its registers. A code without a name is a crash too (xl destroys such a domain): nobody would find out
 * otherwise.
 */
export function shutdownDomain(domain: XenDomain, code: number, by?: XenVcpu): void {
  noteShutdownCode(domain, code);
  const noted = lifeOf(domain).code!;
  const reason = REASONS[noted] ?? 'crash';
  if (reason !== 'crash' || by === undefined) domain.shutdown(reason);
  else if (noted === SHUTDOWN_crash) by.crash('the kernel reports that it has crashed (SHUTDOWN_crash)');
  else by.crash(`the kernel has shut down with code ${noted}, which has no meaning`);
}

/**
 * SCHEDOP_watchdog. `id` 0 asks for a new one; else it restarts watchdog `id`, or stops it if `timeoutSeconds` is 0.
 * Returns the number of a new one, 0, or a negative errno.
 */
export function setWatchdog(domain: XenDomain, id: number, timeoutSeconds: number): number {
  const { timers, clock } = domain.host;
  const { watchdogs } = lifeOf(domain);
  const deadlineNs = clock.nowNs() + timeoutSeconds * NS_PER_SECOND;
  if (id > WATCHDOGS) return -XEN_EINVAL;
  if (id === 0) {
    const free = watchdogs.indexOf(undefined);
    if (free < 0) return -XEN_ENOSPC;
    const timer = new Timer(() => {
      if (domain.live) shutdownDomain(domain, SHUTDOWN_watchdog);
    });
    watchdogs[free] = timer;
    timers.set(timer, deadlineNs);
    return free + 1;
  }
  const timer = watchdogs[id - 1];
  if (timer === undefined) return -XEN_EINVAL;
  if (timeoutSeconds === 0) {
    timers.cancel(timer);
    watchdogs[id - 1] = undefined;
  } else {
    timers.set(timer, deadlineNs);
  }
  return 0;
}

/** When the domain is destroyed: a watchdog that still waits would keep it in memory, and the loop waiting. */
export function cancelWatchdogs(domain: XenDomain): void {
  const { watchdogs } = lifeOf(domain);
  for (const timer of watchdogs) if (timer !== undefined) domain.host.timers.cancel(timer);
  watchdogs.fill(undefined);
}
