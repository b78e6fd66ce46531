/** What a trace and a crash report see of hypercalls, called as a guest would, with leftovers in the other registers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  __HYPERVISOR_event_channel_op,
  __HYPERVISOR_mmuext_op,
  __HYPERVISOR_sched_op,
  __HYPERVISOR_set_gdt,
  __HYPERVISOR_vcpu_op,
  __HYPERVISOR_xen_version,
} from '../../abi/xen/numbers/index.ts';
import type { TracedStructure } from '../../hypervisor/trace.ts';
import { R8, R10, RAX, RBX, RCX, RDI, RDX, RSI } from '../../machine/x86/registers.ts';
import type { HypercallFamily } from './dispatch.ts';
import { TestWorld, WINDOW, WINDOW_PAGES } from './test-world.ts';

const LEFT = 0x652;

interface Seen {
  readonly name: string;
  readonly args: readonly number[];
  readonly structure: TracedStructure | undefined;
}

/** Calls `number`, which answers `result`, with the words at `WINDOW`. */
function traced(number: number, args: readonly number[], words: readonly number[], result = 0, is64 = true) {
  const family: HypercallFamily = { [number]: () => result };
  const world = new TestWorld([family], { is64 });
  const seen: Seen[] = [];
  const { trace } = world.host;
  trace.hypercalls = true;
  trace.sink = {
    hypercall: (_vcpu, name, taken, _result, structure) => void seen.push({ name, args: taken, structure }),
    trap() {},
    event() {},
    pageTable() {},
  };
  world.words(...words);
  const { state } = world.vcpu;
  const registers = is64 ? [RDI, RSI, RDX, R10, R8] : [RBX, RCX, RDX, RSI, RDI];
  registers.forEach((register, i) => {
    state.setRegNumber(register, args[i] ?? LEFT);
  });
  state.setReg(RAX, number, 0);
  world.domain.hypercalls.dispatch(world.vcpu);
  assert.equal(seen.length, 1);
  assert.deepEqual(world.vcpu.lastHypercalls().at(-1)!.arguments, seen[0]!.args);
  return seen[0]!;
}

describe('a traced hypercall', () => {
  it('has as many arguments as it takes, not what is left in the registers', () => {
    assert.deepEqual(traced(__HYPERVISOR_set_gdt, [WINDOW, 16], []).args, [WINDOW, 16]);
    assert.deepEqual(traced(__HYPERVISOR_sched_op, [1], []).args, [1]);
    assert.deepEqual(traced(__HYPERVISOR_vcpu_op, [3, 1], []).args, [3, 1]);
    assert.deepEqual(traced(__HYPERVISOR_xen_version, [0], []).args, [0]);
    assert.deepEqual(traced(60, [1], []).args, [1, LEFT, LEFT, LEFT, LEFT]);
  });

  it('comes with what its structure says', () => {
    const send = traced(__HYPERVISOR_event_channel_op, [4, WINDOW], [6, LEFT]);
    assert.deepEqual(send.args, [4, WINDOW]);
    assert.deepEqual(send.structure, { argument: 1, fields: [['port', 6]], more: false });
    const shutdown = traced(__HYPERVISOR_sched_op, [2, WINDOW], [1]);
    assert.deepEqual(shutdown.structure?.fields, [['reason', 1]]);
    const timer = traced(__HYPERVISOR_vcpu_op, [8, 0, WINDOW], [5, 1, 1]);
    assert.deepEqual(timer.structure, {
      argument: 2,
      fields: [
        ['timeout_abs_ns', 2 ** 32 + 5],
        ['flags', 1],
      ],
      more: false,
    });
    assert.deepEqual(traced(__HYPERVISOR_sched_op, [3, WINDOW], [0, 2, 9, 0], 0, false).structure?.fields, [
      ['nr_ports', 2],
      ['timeout', 9],
    ]);
  });

  it('comes with results only if it succeeded', () => {
    const fields = (result: number) =>
      traced(__HYPERVISOR_event_channel_op, [1, WINDOW], [0, 1, 7], result).structure?.fields.flat();
    assert.deepEqual(fields(0), ['virq', 0, 'vcpu', 1, 'port', 7]);
    assert.deepEqual(fields(-17), ['virq', 0, 'vcpu', 1]);
  });

  it('shows the first operation of a list, and that there are more', () => {
    const one = traced(__HYPERVISOR_mmuext_op, [WINDOW, 1, 0, 0x7ff0], [3, 0, 0x3da, 0, 0, 0]);
    assert.deepEqual(one.structure, {
      argument: 0,
      fields: [
        ['cmd', 3],
        ['mfn', 0x3da],
      ],
      more: false,
    });
    assert.equal(traced(__HYPERVISOR_mmuext_op, [WINDOW, 2, 0, 0x7ff0], [6]).structure?.more, true);
    assert.equal(traced(__HYPERVISOR_mmuext_op, [WINDOW, 0, 0, 0x7ff0], [6]).structure, undefined);
    assert.equal(traced(__HYPERVISOR_mmuext_op, [WINDOW, 1, 0, 0x7ff0], [99]).structure, undefined);
  });

  it('has no structure where the pointer leads nowhere, or beyond what is mapped', () => {
    const end = WINDOW + WINDOW_PAGES * 4096;
    for (const at of [0, 0x10, -8, -0x800000000000, 2 ** 52, end, end - 1, end - 3]) {
      for (const [number, command] of [
        [__HYPERVISOR_event_channel_op, 4],
        [__HYPERVISOR_sched_op, 3],
      ] as const) {
        assert.equal(traced(number, [command, at], [1]).structure, undefined, `${at}`);
      }
      assert.equal(traced(__HYPERVISOR_mmuext_op, [at, 2, 0, 0x7ff0], [1]).structure, undefined, `${at}`);
    }
    assert.equal(traced(__HYPERVISOR_event_channel_op, [99, WINDOW], [1]).structure, undefined);
  });
});
