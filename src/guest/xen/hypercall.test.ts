/**
 * The hypercall wrappers, the builders and the event mask against a machine that writes hypercalls down, in both word
 * sizes. What must arrive is written out call by call, after Linux's header and Xen's of either width.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as abi from '../../abi/xen/structures/index.ts';
import { loadGuest, type TestGuest } from '../testing/index.ts';

type Call = readonly [number: number, ...args: bigint[]];

interface Recording extends TestGuest {
  readonly calls: Call[];
  readonly room: number;
}

const WIDE = 0x1122334455667788n;
const HIGH = 0x11223344n;
const LOW = 0x55667788n;
const ENOSYS = -38n;

async function record(wordBits: 32 | 64, answer: (...call: Call) => bigint = () => 0n): Promise<Recording> {
  const calls: Call[] = [];
  const guest = await loadGuest('src/guest/xen/testing/hypercalls.ts', {
    wordBits,
    hypercall: (number, operands) => {
      calls.push([number, ...operands]);
      return answer(number, ...operands);
    },
  });
  return { ...guest, calls, room: guest.exports.argumentRoom!() as number };
}

/** Each wrapper with operands, the number that its name has in Xen's headers, and what arrives for 64 and for 32 bits. */
const P = 0x20000;
const p = BigInt(P);
const WRAPPERS: readonly (readonly [
  name: string,
  operands: readonly (number | bigint | 'word')[],
  wide: Call,
  narrow?: Call,
])[] = [
  ['set_trap_table', [P], [0, p]],
  ['mmu_update', [P, 3, P + 8, 0x7ff0], [1, p, 3n, p + 8n, 0x7ff0n]],
  ['mmu_update', [P, 3, 0, 0x7ff0], [1, p, 3n, 0n, 0x7ff0n]],
  ['mmuext_op', [P, 2, 0, 0x7ff0], [26, p, 2n, 0n, 0x7ff0n]],
  ['set_gdt', [P, 32], [2, p, 32n]],
  ['stack_switch', [0xe02b, 0xffff1234n], [3, 0xe02bn, 0xffff1234n]],
  [
    'set_callbacks',
    [0xe019, 0x1000n, 0xe01a, 0x2000n, 0x3000n],
    [4, 0x1000n, 0x2000n, 0x3000n],
    [4, 0xe019n, 0x1000n, 0xe01an, 0x2000n],
  ],
  ['callback_op', [0, P], [30, 0n, p]],
  ['fpu_taskswitch', [1], [5, 1n]],
  ['sched_op', [1, 0], [29, 1n, 0n]],
  ['set_timer_op', [WIDE], [15, WIDE], [15, LOW, HIGH]],
  ['set_debugreg', [7, 'word'], [8, 7n, 0x12345678n]],
  ['get_debugreg', [7], [9, 7n]],
  [
    'update_descriptor',
    [WIDE, 0x00cffa000000ffffn],
    [10, WIDE, 0x00cffa000000ffffn],
    [10, LOW, HIGH, 0xffffn, 0xcffa00n],
  ],
  ['memory_op', [3, P], [12, 3n, p]],
  ['multicall', [P, 4], [13, p, 4n]],
  [
    'update_va_mapping',
    [0x5000n, WIDE, 'word'],
    [14, 0x5000n, WIDE, 0x12345678n],
    [14, 0x5000n, LOW, HIGH, 0x12345678n],
  ],
  ['event_channel_op', [4, P], [32, 4n, p]],
  ['xen_version', [0, 0], [17, 0n, 0n]],
  ['console_io', [0, 5, P], [18, 0n, 5n, p]],
  ['physdev_op', [6, P], [33, 6n, p]],
  ['grant_table_op', [2, P, 1], [20, 2n, p, 1n]],
  [
    'update_va_mapping_otherdomain',
    [0x5000n, WIDE, 'word', 7],
    [22, 0x5000n, WIDE, 0x12345678n, 7n],
    [22, 0x5000n, LOW, HIGH, 0x12345678n, 7n],
  ],
  ['vm_assist', [0, 2], [21, 0n, 2n]],
  ['vcpu_op', [7, 1, 0], [24, 7n, 1n, 0n]],
  ['nmi_op', [0, 0], [28, 0n, 0n]],
];

for (const wordBits of [64, 32] as const) {
  const word = (value: bigint): bigint | number =>
    wordBits === 64 ? BigInt.asIntN(64, value) : Number(BigInt.asIntN(32, value));

  test(`every wrapper of the header makes its hypercall, arguments in ${wordBits} bits`, async () => {
    const { exports, calls } = await record(wordBits);
    for (const [name, operands, wide, narrow] of WRAPPERS) {
      exports[`HYPERVISOR_${name}`]!(...operands.map((o) => (o === 'word' ? word(0x12345678n) : o)));
      assert.deepEqual(calls.splice(0), [wordBits === 64 ? wide : (narrow ?? wide)], name);
    }
  });

  test(`suspend is a shutdown for that reason, with the frame of start_info (${wordBits} bits)`, async () => {
    const { exports, calls, machine } = await record(wordBits, () => 1n);
    assert.equal(exports.HYPERVISOR_suspend!(word(0x1234n)), 1);
    const [[number, command, argument, frame]] = calls as [Call];
    assert.deepEqual([number, command, frame], [29, 2n, 0x1234n]);
    assert.equal(machine.read(argument!, 4), 2n);
  });

  test(`an event channel or device call that Xen does not know is made in its old form (${wordBits} bits)`, async () => {
    for (const [name, number, old, command, bytes] of [
      ['event_channel_op', 32, 16, 1, 12],
      ['physdev_op', 33, 19, 5, 8],
    ] as const) {
      const { exports, calls, machine, room } = await record(wordBits, (called, structure) => {
        if (called === number) return ENOSYS;
        // The command stands in front, the argument behind it; the answer is written into the argument.
        const offset = machine.read(structure!, 4) === BigInt(command) ? 4 : 0;
        const at = structure! + BigInt(number === 33 && wordBits === 64 ? 8 : offset);
        assert.equal(machine.read(at, 4), 0x11n);
        machine.write(at + BigInt(bytes - 4), 4, 0x99n);
        return 7n;
      });
      machine.write(BigInt(room), 4, 0x11n);
      machine.write(BigInt(room + bytes), 4, 0x55n);
      assert.equal(exports[`HYPERVISOR_${name}`]!(command, room), 7);
      assert.deepEqual(
        calls.map(([called]) => called),
        [number, old],
      );
      assert.equal(machine.read(BigInt(room + bytes - 4), 4), 0x99n);
      assert.equal(machine.read(BigInt(room + bytes), 4), 0x55n, 'what follows the argument is not touched');
      // A command that came later has no old form.
      calls.length = 0;
      assert.equal(exports[`HYPERVISOR_${name}`]!(number === 32 ? 11 : 13, room), -38);
      assert.equal(calls.length, 1);
    }
  });

  test(`the old form takes and gives back as much as each command's structure has (${wordBits} bits)`, async () => {
    const layout = wordBits === 64 ? ('x64' as const) : ('x32' as const);
    const { exports, calls, machine, room } = await record(wordBits, (called, structure) => {
      if (called === 32 || called === 33) return ENOSYS;
      const { offset, size } = called === 16 ? abi.evtchn_op[layout] : abi.physdev_op[layout];
      for (let i = offset.u; i < size; i++) machine.write(structure! + BigInt(i), 1, 0xffn);
      return 0n;
    });
    for (const [name, old, commands] of [
      [
        'event_channel_op',
        16,
        [
          [0, abi.evtchn_bind_interdomain],
          [1, abi.evtchn_bind_virq],
          [2, abi.evtchn_bind_pirq],
          [3, abi.evtchn_close],
          [4, abi.evtchn_send],
          [5, abi.evtchn_status],
          [6, abi.evtchn_alloc_unbound],
          [7, abi.evtchn_bind_ipi],
          [8, abi.evtchn_bind_vcpu],
          [9, abi.evtchn_unmask],
        ],
      ],
      [
        'physdev_op',
        19,
        [
          [4, undefined],
          [5, abi.physdev_irq_status_query],
          [6, abi.physdev_set_iopl],
          [7, abi.physdev_set_iobitmap],
          [8, abi.physdev_apic],
          [9, abi.physdev_apic],
          [10, abi.physdev_irq],
          [11, abi.physdev_irq],
        ],
      ],
    ] as const) {
      for (const [command, structure] of commands) {
        calls.length = 0;
        for (let i = 0; i < 48; i++) machine.write(BigInt(room + i), 1, 0n);
        assert.equal(exports[`HYPERVISOR_${name}`]!(command, room), 0);
        assert.equal(calls.at(-1)![0], old, `${name} ${command}`);
        const written =
          Array.from({ length: 48 }, (_, i) => machine.read(BigInt(room + i), 1)).lastIndexOf(0xffn) + 1;
        assert.equal(written, structure?.[layout].size ?? 0, `${name} ${command}`);
      }
    }
  });

  test(`a builder writes down the call that its wrapper makes (${wordBits} bits)`, async () => {
    const { exports, calls, machine, room } = await record(wordBits);
    const entry = room + 1024;
    const bytes = wordBits / 8;
    const builders: readonly (readonly [string, readonly (number | bigint)[]])[] = [
      ['update_va_mapping', [0x5000n, WIDE, word(3n)]],
      ['grant_table_op', [2, P, 1]],
      ['update_va_mapping_otherdomain', [0x5000n, WIDE, word(3n), 7]],
      ['update_descriptor', [WIDE, 0x00cffa000000ffffn]],
      ['memory_op', [3, P]],
      ['mmu_update', [P, 3, 0, 0x7ff0]],
      ['mmuext_op', [P, 2, P + 8, 0x7ff0]],
      ['set_gdt', [P, 32]],
      ['stack_switch', [0xe02b, 0xffff1234n]],
      ['fpu_taskswitch', [1]],
    ];
    for (const [name, operands] of builders) {
      exports[`HYPERVISOR_${name}`]!(...operands);
      const [called] = calls.splice(0) as [Call];
      exports[`MULTI_${name}`]!(entry, ...operands);
      const built = [0, ...called.slice(1).map((_, i) => 2 + i)].map((i) =>
        machine.read(BigInt(entry + i * bytes), bytes),
      );
      assert.deepEqual(built, called.map(BigInt), name);
    }
    assert.equal(calls.length, 0);
  });

  test(`unmasking looks for what became pending meanwhile, and only then asks Xen (${wordBits} bits)`, async () => {
    const { exports, calls, machine, room } = await record(wordBits);
    const [pending, mask] = [BigInt(room), BigInt(room + 1)];
    exports.setSharedInfo!(room);
    const state = () => [machine.read(mask, 1), exports.xenSaveInterrupts!(), calls.splice(0).length];
    assert.deepEqual(state(), [0n, 0x200n, 0]);
    exports.xenDisableInterrupts!();
    assert.deepEqual(state(), [1n, 0n, 0]);
    exports.xenEnableInterrupts!();
    assert.deepEqual(state(), [0n, 0x200n, 0]);
    machine.write(pending, 1, 1n);
    exports.xenDisableInterrupts!();
    exports.xenRestoreInterrupts!(0n);
    assert.deepEqual(state(), [1n, 0n, 0]);
    exports.xenRestoreInterrupts!(0x246n);
    assert.deepEqual(calls, [[17, 0n, 0n]]);
    assert.deepEqual(state(), [0n, 0x200n, 1]);
    machine.write(pending, 1, 0n);
    exports.xenRestoreInterrupts!(0x46n);
    assert.deepEqual(state(), [1n, 0n, 0]);
  });
}
