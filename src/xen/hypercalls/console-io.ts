/**
 * console_io: Xen's own console, which a guest uses before its drivers run.
 *
 * A release build of Xen refuses it to all but the control domain; we allow it, since the first words of a kernel that
 * does not come up are worth having. What a domain writes goes line by line to its `consoleSink`; characters that a
 * terminal would act on are dropped. Nothing can be read. (Xen 4.17, xen/drivers/char/console.c: guest_console_write.)
 */
import {
  __HYPERVISOR_console_io,
  CONSOLEIO_read,
  CONSOLEIO_write,
  XEN_E2BIG,
  XEN_ENOSYS,
} from '../../abi/xen/numbers/index.ts';
import type { XenDomain } from '../domain.ts';
import type { XenVcpu } from '../vcpu.ts';
import type { HypercallArguments } from './arguments.ts';
import { CONTINUE, type HypercallFamily } from './dispatch.ts';

/** DOMAIN_PBUF_SIZE: a line that is longer is cut there. */
const LINE_LIMIT = 200;
/** Bytes read at a time, so that an absurd count costs no absurd buffer. */
const CHUNK = 128;
const NEWLINE = 10;
const TAB = 9;

/** What each domain has written of its present line. */
const lines = new WeakMap<XenDomain, number[]>();

/** Writes `count` bytes; a long text stops halfway, with the rest of it in the arguments. */
function write(vcpu: XenVcpu, args: HypercallArguments): number {
  const { domain } = vcpu;
  const count = args.u32(1);
  const buffer = args.gva(2);
  let line = lines.get(domain);
  if (line === undefined) lines.set(domain, (line = []));
  const chunk = new Uint8Array(CHUNK);
  for (let done = 0; done < count; done += CHUNK) {
    if (done > 0 && vcpu.preemptionDue()) {
      args.set(1, count - done);
      args.set(2, buffer + done);
      return CONTINUE;
    }
    const part = chunk.subarray(0, Math.min(CHUNK, count - done));
    vcpu.guest.readBytes(buffer + done, part);
    for (const byte of part) {
      if (byte === TAB || (byte >= 0x20 && byte < 0x7f)) line.push(byte);
      if (byte === NEWLINE || line.length === LINE_LIMIT) endLine(domain, line);
    }
  }
  return 0;
}

function endLine(domain: XenDomain, line: number[]): void {
  domain.consoleSink(Uint8Array.of(...line, NEWLINE));
  line.length = 0;
}

/** Gives out what a domain wrote since its last newline; for when it has ended. */
export function flushConsole(domain: XenDomain): void {
  const line = lines.get(domain);
  if (line !== undefined && line.length > 0) endLine(domain, line);
}

export const handlers: HypercallFamily = {
  [__HYPERVISOR_console_io]: (vcpu, args) => {
    const command = args.u32(0);
    const count = args.u32(1);
    if (command === CONSOLEIO_write) return write(vcpu, args);
    if (command !== CONSOLEIO_read) return -XEN_ENOSYS;
    return count > 0x7fffffff ? -XEN_E2BIG : 0;
  },
};
