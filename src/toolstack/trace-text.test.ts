import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Vcpu } from '../hypervisor/domain.ts';
import { resultText, textTrace } from './trace-text.ts';

const vcpu = { id: 1, domain: { id: 3 }, state: { rip: -0x7fffff00 } } as Vcpu;

function trace() {
  const lines: string[] = [];
  return { lines, sink: textTrace((line) => lines.push(line)) };
}

test('a hypercall is shown with its command, its arguments and its result by name', () => {
  const { lines, sink } = trace();
  sink.hypercall(vcpu, 'event_channel_op', [4, -0x7fffff00], 0);
  sink.hypercall(vcpu, 'vcpu_op', [3, 1], -2);
  sink.hypercall(vcpu, 'mmu_update', [-0x77ff00000000, 1, 0, 0x7ff0], -22);
  sink.hypercall(vcpu, 'xen_version', [0, 0], 0x40011);
  sink.hypercall(vcpu, 'iret', [], undefined);
  assert.deepEqual(lines, [
    'd3v1 event_channel_op(EVTCHNOP_send, 0xffffffff80000100) = 0',
    'd3v1 vcpu_op(VCPUOP_is_up, 1) = -ENOENT',
    'd3v1 mmu_update(0xffff880100000000, 1, 0x0, DOMID_SELF) = -EINVAL',
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

test('an argument is shown as what it is: a number to count with, a domain, an address', () => {
  const { lines, sink } = trace();
  sink.hypercall(vcpu, 'set_gdt', [-0x7ff00000, 16], 0);
  sink.hypercall(vcpu, 'set_timer_op', [20_000_000_000], 0);
  sink.hypercall(vcpu, 'set_timer_op', [0xa817c800, 4], 0);
  sink.hypercall(vcpu, 'mmu_update', [0x1000, 0x80000003, 0, 7], undefined);
  sink.hypercall(vcpu, 'update_va_mapping_otherdomain', [0x1000, 0x3a063, 2, 0x7ff1], -1);
  sink.hypercall(vcpu, 'console_io', [0, -1, 0x1000], -1);
  assert.deepEqual(lines, [
    'd3v1 set_gdt(0xffffffff80100000, 16) = 0',
    'd3v1 set_timer_op(20000000000) = 0',
    'd3v1 set_timer_op(0xa817c800, 0x4) = 0',
    'd3v1 mmu_update(0x1000, 2147483651, 0x0, 7)',
    'd3v1 update_va_mapping_otherdomain(0x1000, 0x3a063, 0x2, DOMID_IO) = -EPERM',
    'd3v1 console_io(CONSOLEIO_write, 0xffffffffffffffff, 0x1000) = -EPERM',
  ]);
});

test('what an argument points to stands behind it, with names for what has them', () => {
  const { lines, sink } = trace();
  const show = (name: string, args: number[], argument: number, fields: [string, number][], more = false) =>
    sink.hypercall(vcpu, name, args, 0, { argument, fields, more });
  show('event_channel_op', [4, 0x1000], 1, [['port', 6]]);
  show('sched_op', [2, 0x1000], 1, [['reason', 1]]);
  show('event_channel_op', [1, 0x1000], 1, [
    ['virq', 0],
    ['vcpu', 1],
    ['port', 3],
  ]);
  show('vcpu_op', [8, 0, 0x1000], 2, [
    ['timeout_abs_ns', 20_000_000_000],
    ['flags', 1],
  ]);
  show(
    'mmuext_op',
    [0x1000, 2, 0, 0x7ff0],
    0,
    [
      ['cmd', 3],
      ['mfn', 0x3da],
    ],
    true,
  );
  show('memory_op', [12, 0x1000], 1, [['v_start', -0x800000000000]]);
  show('memory_op', [12, 0x1000], 1, []);
  assert.deepEqual(lines, [
    'd3v1 event_channel_op(EVTCHNOP_send, 0x1000 {port 6}) = 0',
    'd3v1 sched_op(SCHEDOP_shutdown, 0x1000 {reason SHUTDOWN_reboot}) = 0',
    'd3v1 event_channel_op(EVTCHNOP_bind_virq, 0x1000 {virq VIRQ_TIMER, vcpu 1, port 3}) = 0',
    'd3v1 vcpu_op(VCPUOP_set_singleshot_timer, 0, 0x1000 {timeout_abs_ns 20000000000, flags 0x1}) = 0',
    'd3v1 mmuext_op(0x1000 {MMUEXT_PIN_L4_TABLE, mfn 0x3da, …}, 2, 0x0, DOMID_SELF) = 0',
    'd3v1 memory_op(XENMEM_machphys_mapping, 0x1000 {v_start 0xffff800000000000}) = 0',
    'd3v1 memory_op(XENMEM_machphys_mapping, 0x1000) = 0',
  ]);
});

test('a small result is shown as a number, one that is an address in hexadecimal', () => {
  assert.deepEqual([4095, 4096, -4000, -0x80000000].map(resultText), [
    ' = 4095',
    ' = 0x1000',
    ' = -4000',
    ' = 0xffffffff80000000',
  ]);
});

test('a trap is shown with its name and place, and with error code and address where it has them', () => {
  const { lines, sink } = trace();
  sink.trap(vcpu, 14, 6, 0x1000);
  sink.trap(vcpu, 13, 0, 0);
  sink.trap(vcpu, 6, 0, 0);
  sink.trap(vcpu, 17, 0, 0);
  sink.trap(vcpu, 0x80, 0, 0);
  sink.trap(vcpu, 0x2e, 0, 0);
  assert.deepEqual(lines, [
    'd3v1 trap 14 #PF error 0x6 address 0x1000 rip 0xffffffff80000100',
    'd3v1 trap 13 #GP error 0x0 rip 0xffffffff80000100',
    'd3v1 trap 6 #UD rip 0xffffffff80000100',
    'd3v1 trap 17 #AC error 0x0 rip 0xffffffff80000100',
    'd3v1 interrupt 0x80 rip 0xffffffff80000100',
    'd3v1 interrupt 0x2e rip 0xffffffff80000100',
  ]);
});

test('events and page-table updates come with the vCPU they belong to, if there is one', () => {
  const { lines, sink } = trace();
  sink.event(undefined, 'port 2 pending');
  sink.event(vcpu, 'upcall');
  sink.pageTable(vcpu, 'L1 entry');
  assert.deepEqual(lines, ['port 2 pending', 'd3v1 upcall', 'd3v1 L1 entry']);
});
