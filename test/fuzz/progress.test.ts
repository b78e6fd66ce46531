/** However much a guest asks for at once, the loop goes round: hypercalls stop halfway, and turns end. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as X from '../../src/abi/xen/numbers/index.ts';
import { PAGE_SIZE } from '../../src/machine/memory.ts';
import { R10, RAX, RCX, RDI, RDX, RSI, RSP } from '../../src/machine/x86/registers.ts';
import { HypercallArguments } from '../../src/xen/hypercalls/arguments.ts';
import { CONTINUE } from '../../src/xen/hypercalls/dispatch.ts';
import { Arena, VIRT_BASE } from './victims.ts';

const CODE = VIRT_BASE;
const SCRATCH = VIRT_BASE + 8 * PAGE_SIZE;

describe('progress', () => {
  it('a long text for the emergency console is written in parts', async () => {
    const arena = await Arena.create();
    const { domain, plan } = arena.spawn();
    const { vcpu } = arena;
    const args = new HypercallArguments();
    const bytes = plan.mappedEnd - VIRT_BASE - 4 * PAGE_SIZE;
    [X.CONSOLEIO_write, bytes, VIRT_BASE].forEach((value, i) => {
      args.set(i, value);
    });
    let parts = 0;
    let result: number;
    do {
      vcpu.beginHypercall(X.__HYPERVISOR_console_io);
      const before = args.u32(1);
      result = domain.hypercalls.call(vcpu, X.__HYPERVISOR_console_io, args);
      parts++;
      if (result === CONTINUE) assert.ok(before - args.u32(1) <= 1 << 20 && args.u32(1) < before);
    } while (result === CONTINUE);
    assert.equal(result, 0);
    assert.ok(parts > 2, `${parts} parts for ${bytes} bytes`);
    arena.bury('a long text');
  });

  it('a guest that issues nothing but long hypercalls gives way', async () => {
    const arena = await Arena.create();
    arena.spawn();
    const { vcpu, host } = arena;
    const { guest, state } = vcpu;
    // again: mov rax, r15; syscall; jmp again
    guest.writeBytes(CODE, Uint8Array.of(0x4c, 0x89, 0xf8, 0x0f, 0x05, 0xeb, 0xf9));
    // Requests that do nothing, by the million: MMUEXT_TLB_FLUSH_LOCAL.
    for (let at = 0; at < PAGE_SIZE * 4; at += 24) {
      guest.write64(SCRATCH + at, X.MMUEXT_TLB_FLUSH_LOCAL, 0);
      guest.write64(SCRATCH + at + 8, 0, 0);
      guest.write64(SCRATCH + at + 16, 0, 0);
    }
    state.rip = CODE;
    state.setRegNumber(15, X.__HYPERVISOR_mmuext_op);
    state.setRegNumber(RAX, X.__HYPERVISOR_mmuext_op);
    state.setRegNumber(RDI, SCRATCH);
    state.setRegNumber(RSI, 600);
    state.setRegNumber(RDX, 0);
    state.setRegNumber(R10, X.DOMID_SELF);
    state.setRegNumber(RCX, 0);
    state.setRegNumber(RSP, VIRT_BASE + 30 * PAGE_SIZE);
    const before = host.stats.hypercalls().mmuext_op ?? 0;
    assert.equal(host.runOnce(), true);
    const calls = (host.stats.hypercalls().mmuext_op ?? 0) - before;
    assert.ok(calls > 2 && calls <= 20, `${calls} hypercalls of 600 operations in one turn`);
    arena.bury('long hypercalls');
  });
});
