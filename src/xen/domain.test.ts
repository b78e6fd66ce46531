import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TraceSink } from '../hypervisor/trace.ts';
import { RAX, RDI } from '../machine/x86/registers.ts';
import { CONTINUE } from './hypercalls/dispatch.ts';
import { exits } from './testing/fake-processor.ts';
import { KERNEL, KERNEL_CODE, XenWorld } from './testing/world.ts';

test('a destroyed domain gives back its parts, its clocks first and its registers last', () => {
  const world = new XenWorld();
  const { domain, vcpu } = world;
  const order: string[] = [];
  vcpu.time = {
    update() {},
    kernelEntered() {},
    changeRunstate() {},
    release: () => void order.push('time'),
  };
  domain.grants = { release: () => void order.push('grants') };
  domain.events = { sendVirq() {}, release: () => void order.push('events') };
  world.mm.release = () => void order.push('memory');
  world.host.releaseVcpuState = (state) => void order.push(state === vcpu.state ? 'registers' : 'others');
  domain.destroy();
  assert.deepEqual(order, ['time', 'grants', 'events', 'memory', 'registers']);
  assert.equal(world.host.domains.size, 0);
});

test('assists are bits of two words', () => {
  const { domain } = new XenWorld();
  domain.vmAssist = 1 << 5;
  domain.vmAssistHigh = 1;
  assert.deepEqual(
    [4, 5, 32, 33].map((type) => domain.hasAssist(type)),
    [false, true, true, false],
  );
});

test('a switch to the kernel tells the clock, a switch to the user does not', () => {
  const world = new XenWorld();
  const { vcpu } = world;
  let entered = 0;
  vcpu.time = {
    update() {},
    kernelEntered: () => void entered++,
    changeRunstate() {},
    release() {},
  };
  vcpu.toggleMode();
  assert.equal(entered, 0);
  vcpu.toggleMode();
  assert.equal(entered, 1);
});

test('run states follow what the vCPU does', () => {
  const world = new XenWorld({ vcpus: 2 });
  const states: number[] = [];
  const { vcpu } = world;
  vcpu.time = {
    update() {},
    kernelEntered() {},
    changeRunstate: (state) => void states.push(state),
    release() {},
  };
  vcpu.block();
  vcpu.block();
  vcpu.wake();
  vcpu.wake();
  world.host.schedule(world.domain.vcpus[1]!);
  world.host.schedule(vcpu);
  vcpu.setOnline(false);
  // blocked, runnable, runnable (the other one runs), running, offline
  assert.deepEqual(states, [2, 1, 1, 0, 3]);
});

test('traces see hypercalls with their results, and traps with their address', () => {
  const world = new XenWorld({ families: [{ 17: () => 5, 1: () => CONTINUE }] });
  world.setHandlers();
  const seen: unknown[] = [];
  const sink: TraceSink = {
    hypercall: (_vcpu, name, args, result) => void seen.push([name, args[0], result]),
    trap: (_vcpu, vector, error, address) => void seen.push([vector, error, address]),
    event: (_vcpu, what) => void seen.push(what),
    pageTable() {},
  };
  const { trace } = world.host;
  trace.sink = sink;
  world.state.setReg(RAX, 17, 0);
  world.state.setRegNumber(RDI, -2);
  world.step(exits.syscall());
  assert.deepEqual(seen, []);
  trace.hypercalls = trace.traps = trace.events = true;
  world.state.setReg(RAX, 17, 0);
  world.step(exits.syscall());
  world.state.setReg(RAX, 1, 0);
  world.step(exits.syscall());
  world.vcpu.callbacks.event.address = KERNEL_CODE + 0x400;
  world.vcpu.upcallMask = 0;
  world.memory.u8[world.vcpu.vcpuInfoHost] = 1;
  world.step(exits.pageFault(KERNEL, 7));
  // One that will be issued again has no result yet.
  assert.deepEqual(seen, [['xen_version', -2, 5], ['mmu_update', -2, undefined], [14, 3, KERNEL], 'upcall']);
});
