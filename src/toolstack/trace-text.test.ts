import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Vcpu } from '../hypervisor/domain.ts';
import { textTrace } from './trace-text.ts';

const vcpu = { id: 1, domain: { id: 3 }, state: { rip: -0x7fffff00 } } as Vcpu;

function trace() {
  const lines: string[] = [];
  return { lines, sink: textTrace((line) => lines.push(line)) };
}

test('a hypercall is shown with its command, its arguments and its result by name', () => {
  const { lines, sink } = trace();
  sink.hypercall(vcpu, 'event_channel_op', [4, -0x7fffff00], 0);
  sink.hypercall(vcpu, 'vcpu_op', [3, 1, 0], -2);
  sink.hypercall(vcpu, 'mmu_update', [-0x77ff00000000, 1, 0, 0x7ff0], -22);
  sink.hypercall(vcpu, 'xen_version', [0, 0], 0x40011);
  sink.hypercall(vcpu, 'iret', [], undefined);
  assert.deepEqual(lines, [
    'd3v1 event_channel_op(EVTCHNOP_send, 0xffffffff80000100) = 0',
    'd3v1 vcpu_op(VCPUOP_is_up, 0x1, 0x0) = -ENOENT',
    'd3v1 mmu_update(0xffff880100000000, 0x1, 0x0, 0x7ff0) = -EINVAL',
    'd3v1 xen_version(XENVER_version, 0x0) = 0x40011',
    'd3v1 iret()',
  ]);
});

test('a command in the low bits of its argument is found there, and an unknown one is a number', () => {
  const { lines, sink } = trace();
  sink.hypercall(vcpu, 'memory_op', [6 | (5 << 6), 0], 0);
  sink.hypercall(vcpu, 'sched_op', [99, 0], -38);
  sink.hypercall(vcpu, 'hypercall_60', [1], -38);
  assert.deepEqual(lines, [
    'd3v1 memory_op(XENMEM_populate_physmap, 0x0) = 0',
    'd3v1 sched_op(99, 0x0) = -ENOSYS',
    'd3v1 hypercall_60(0x1) = -ENOSYS',
  ]);
});

test('a trap is shown with its name and place, and with error code and address where it has them', () => {
  const { lines, sink } = trace();
  sink.trap(vcpu, 14, 6, 0x1000);
  sink.trap(vcpu, 13, 0, 0);
  sink.trap(vcpu, 6, 0, 0);
  sink.trap(vcpu, 0x80, 0, 0);
  assert.deepEqual(lines, [
    'd3v1 trap 14 #PF error 0x6 address 0x1000 rip 0xffffffff80000100',
    'd3v1 trap 13 #GP error 0x0 rip 0xffffffff80000100',
    'd3v1 trap 6 #UD rip 0xffffffff80000100',
    'd3v1 interrupt 0x80 rip 0xffffffff80000100',
  ]);
});

test('events and page-table updates come with the vCPU they belong to, if there is one', () => {
  const { lines, sink } = trace();
  sink.event(undefined, 'port 2 pending');
  sink.event(vcpu, 'upcall');
  sink.pageTable(vcpu, 'L1 entry');
  assert.deepEqual(lines, ['port 2 pending', 'd3v1 upcall', 'd3v1 L1 entry']);
});
