import assert from 'node:assert/strict';
import { test } from 'node:test';
import { x86_64 as wide } from '../abi/xen/numbers/index.ts';
import { CPU_DR } from '../machine/layout.ts';
import { PAGE_SIZE } from '../machine/memory.ts';
import { CS, DR6_STEP, FLAG_AC, FLAG_RF, R11, RAX, RCX, RSP, SS } from '../machine/x86/registers.ts';
import { ATTR_D } from '../machine/x86/state.ts';
import type { HypercallFamily } from './hypercalls/dispatch.ts';
import { CONTINUE } from './hypercalls/dispatch.ts';
import { exits } from './testing/fake-processor.ts';
import { ENTRY_STACK, handlerOf, hexOf, KERNEL_CODE, KERNEL_STACK, USER, XenWorld } from './testing/world.ts';

const CR0_AM = 1 << 18;

function handledWorld(flags = 3, families: readonly HypercallFamily[] = []): XenWorld {
  const world = new XenWorld({ families });
  world.setHandlers(flags);
  return world;
}

test('SYSCALL from the kernel is a hypercall: arguments in registers, result in RAX, RCX and R11 lost', () => {
  const seen: number[] = [];
  const family: HypercallFamily = {
    17: (_vcpu, args) => {
      for (let i = 0; i < 6; i++) seen.push(args.number(i));
      return -22;
    },
  };
  const world = handledWorld(3, [family]);
  const { state } = world;
  state.setReg(RAX, 17, 0);
  for (const [i, register] of [7, 6, 2, 10, 8, 9].entries()) state.setRegNumber(register, -1 - i);
  state.rip = KERNEL_CODE + 2;
  world.step(exits.syscall());
  assert.deepEqual(seen, [-1, -2, -3, -4, -5, -6]);
  assert.equal(world.register(RAX), 'ffffffffffffffea');
  assert.equal(world.register(RCX), hexOf(KERNEL_CODE + 2));
  assert.equal(world.register(R11), hexOf(0x202));
  assert.equal(state.rip, KERNEL_CODE + 2);
});

test('an unknown hypercall is -ENOSYS, and counted', () => {
  const world = handledWorld();
  world.state.setReg(RAX, 11, 0);
  world.step(exits.syscall());
  assert.equal(world.register(RAX), hexOf(-38));
  world.state.setReg(RAX, 17, 1);
  world.step(exits.syscall());
  assert.equal(world.register(RAX), hexOf(-38));
  assert.deepEqual(world.host.stats.hypercalls(), { hypercall_11: 1, hypercall_64: 1 });
});

test('a preempted hypercall goes back by two bytes with its arguments rewritten', () => {
  const family: HypercallFamily = {
    1: (_vcpu, args) => {
      args.set(0, -4096);
      args.set(1, 5);
      return CONTINUE;
    },
  };
  const world = handledWorld(3, [family]);
  const { state } = world;
  state.setReg(RAX, 1, 0);
  state.rip = KERNEL_CODE + 0x22;
  world.step(exits.syscall());
  assert.equal(state.rip, KERNEL_CODE + 0x20);
  assert.equal(world.register(RAX), '0000000000000001');
  assert.equal(world.register(7), hexOf(-4096));
  assert.equal(world.register(6), hexOf(5));
});

test('a guest address that cannot be accessed makes a hypercall -EFAULT', () => {
  const world = handledWorld(3, [{ 2: (vcpu, args) => vcpu.guest.read32(args.gva(0)) }]);
  world.state.setReg(RAX, 2, 0);
  world.state.setRegNumber(7, 0x1000);
  world.step(exits.syscall());
  assert.equal(world.register(RAX), hexOf(-14));
});

test('pending events are looked for on every return from a hypercall', () => {
  const world = handledWorld(3, [{ 17: () => 0x40011 }]);
  const { vcpu, memory, state } = world;
  vcpu.callbacks.event.address = KERNEL_CODE + 0x400;
  vcpu.upcallMask = 0;
  memory.u8[vcpu.vcpuInfoHost] = 1;
  state.setReg(RAX, 17, 0);
  state.rip = KERNEL_CODE + 2;
  world.step(exits.syscall());
  assert.equal(state.rip, KERNEL_CODE + 0x400);
  assert.equal(world.words(state.reg(RSP), 3)[2], hexOf(KERNEL_CODE + 2));
  assert.equal(world.register(RAX), '0000000000040011');
});

test('SYSCALL from 64-bit user mode enters the syscall callback with the user’s return address in RCX', () => {
  const world = handledWorld();
  const { vcpu, state } = world;
  vcpu.callbacks.syscall.address = KERNEL_CODE + 0x300;
  vcpu.callbacks.syscall.masksEvents = true;
  vcpu.upcallMask = 0;
  world.startUser();
  vcpu.setFlags(0x202 | 0x400);
  state.rip = USER + 2;
  world.step(exits.syscall());
  assert.equal(state.rip, KERNEL_CODE + 0x300);
  assert.equal(vcpu.upcallMask, 1);
  // DF is cleared for the kernel, and only there.
  assert.equal(state.rflags, 0x202);
  assert.deepEqual(world.words(ENTRY_STACK - 56, 5), [
    hexOf(USER + 2),
    hexOf(0x602),
    hexOf(USER + 2),
    '000000000000e033',
    hexOf(0x602),
  ]);
});

test('SYSCALL from compatibility mode enters the syscall32 callback and shows the 32-bit segments', () => {
  const world = handledWorld();
  const { vcpu, state } = world;
  vcpu.callbacks.syscall.address = KERNEL_CODE + 0x300;
  vcpu.callbacks.syscall32.address = KERNEL_CODE + 0x380;
  // Whether it masks events is said with the 64-bit callback.
  vcpu.callbacks.syscall.masksEvents = true;
  vcpu.upcallMask = 0;
  world.startUser();
  state.setSegment(CS, 0x23, 0x40fb | ATTR_D, 0xffffffff, 0);
  vcpu.setSelector(SS, 0x2b);
  world.step(exits.syscall());
  assert.equal(state.rip, KERNEL_CODE + 0x380);
  assert.equal(state.longMode, true);
  assert.equal(vcpu.upcallMask, 1);
  const words = world.words(ENTRY_STACK - 56, 7);
  assert.deepEqual([words[3], words[6]], ['000000000000e023', '000000000000e02b']);
});

test('SYSCALL without a callback is #UD at the instruction', () => {
  const world = handledWorld();
  world.startUser();
  world.state.rip = USER + 2;
  world.step(exits.syscall());
  assert.equal(world.state.rip, handlerOf(6));
  assert.equal(world.words(ENTRY_STACK - 56, 3)[2], hexOf(USER));
});

test('SYSENTER is #GP unless its callback is registered', () => {
  const world = handledWorld();
  world.startUser();
  world.step(exits.sysenter());
  assert.equal(world.state.rip, handlerOf(13));
  assert.equal(world.words(ENTRY_STACK - 64, 3)[2], '0000000000000000');

  const other = handledWorld();
  other.vcpu.callbacks.sysenter.address = KERNEL_CODE + 0x340;
  other.startUser();
  other.step(exits.sysenter());
  assert.equal(other.state.rip, KERNEL_CODE + 0x340);
  const words = other.words(ENTRY_STACK - 56, 7);
  assert.deepEqual(
    [words[2], words[3], words[5]],
    ['0000000000000000', '0000000100000003', '0000000000000000'],
  );
});

test('INT n is #GP with the vector in its error code unless the trap table lets the caller through', () => {
  const world = handledWorld(1);
  world.startUser();
  world.state.rip = USER + 2;
  world.step(exits.interrupt(0x30));
  assert.equal(world.state.rip, handlerOf(13));
  const words = world.words(ENTRY_STACK - 64, 4);
  assert.deepEqual([words[2], words[3]], [hexOf((0x30 << 3) | 2), hexOf(USER)]);
  // The kernel counts as ring 1.
  const kernel = handledWorld(1);
  kernel.state.rip = KERNEL_CODE + 2;
  kernel.step(exits.interrupt(0x30));
  assert.equal(kernel.state.rip, handlerOf(0x30));
  assert.equal(kernel.words(KERNEL_STACK - 56, 3)[2], hexOf(KERNEL_CODE + 2));
  const refused = handledWorld(0);
  refused.step(exits.interrupt(0x30));
  assert.equal(refused.state.rip, handlerOf(13));
});

test('a misaligned access of the user is #AC with error code 0; the kernel runs without the flag, and keeps it', () => {
  const world = handledWorld();
  const { vcpu, state } = world;
  assert.equal(state.cr0 & CR0_AM, CR0_AM, 'alignment is checked if RFLAGS.AC says so');
  world.startUser();
  vcpu.upcallMask = 0;
  vcpu.setFlags(0x202 | FLAG_AC);
  state.rip = USER;
  world.step(exits.exception(17));
  assert.equal(state.rip, handlerOf(17));
  assert.equal(state.rflags & FLAG_AC, 0);
  assert.equal(state.reg(RSP), ENTRY_STACK - 64);
  const words = world.words(ENTRY_STACK - 64, 6);
  assert.deepEqual([words[2], words[3], words[5]], [hexOf(0), hexOf(USER), hexOf(0x202 | FLAG_AC | FLAG_RF)]);
});

test('INT n that is let through pushes no error code even for a vector that has one', () => {
  const world = handledWorld(3);
  world.startUser();
  world.state.rip = USER + 2;
  world.step(exits.interrupt(14));
  assert.equal(world.state.rip, handlerOf(14));
  assert.equal(world.state.reg(RSP), ENTRY_STACK - 56);
});

test('INT n masks events if its handler was registered so', () => {
  for (const flags of [3, 7]) {
    const world = handledWorld(flags);
    world.vcpu.upcallMask = 0;
    world.step(exits.interrupt(0x30));
    assert.equal(world.state.rip, handlerOf(0x30));
    assert.equal(world.vcpu.upcallMask, flags === 7 ? 1 : 0);
  }
});

test('INT 0x80 goes to its handler without a privilege check, and is #GP when there is none', () => {
  const world = handledWorld(0);
  world.startUser();
  world.state.rip = USER + 2;
  world.step(exits.interrupt(0x80));
  assert.equal(world.state.rip, handlerOf(0x80));
  const none = handledWorld(0);
  none.vcpu.traps.set(0x80, 0, 0, 0);
  none.startUser();
  none.state.rip = USER + 2;
  none.step(exits.interrupt(0x80));
  assert.equal(none.state.rip, handlerOf(13));
  const words = none.words(ENTRY_STACK - 64, 4);
  assert.deepEqual([words[2], words[3]], ['0000000000000402', hexOf(USER)]);
});

test('INT3 is not privilege-checked', () => {
  const world = handledWorld(0);
  world.startUser();
  world.state.rip = USER + 1;
  world.step(exits.interrupt(3, 1));
  assert.equal(world.state.rip, handlerOf(3));
  assert.equal(world.words(ENTRY_STACK - 56, 3)[2], hexOf(USER + 1));
});

test('INTO is not privilege-checked', () => {
  const world = handledWorld(0);
  world.startUser();
  world.step(exits.interrupt(4, 1));
  assert.equal(world.state.rip, handlerOf(4));
});

test('INT1 is #DB from anywhere, behind itself; INT n with that vector is what its gate permits', () => {
  const world = handledWorld(0);
  world.startUser();
  world.vcpu.upcallMask = 0;
  world.state.rip = USER + 1;
  world.step(exits.interrupt(1, 1));
  assert.equal(world.state.rip, handlerOf(1));
  const words = world.words(ENTRY_STACK - 56, 5);
  assert.deepEqual([words[2], words[4]], [hexOf(USER + 1), hexOf(0x202)]);
  assert.equal(world.state.low(CPU_DR + 6 * 8) & DR6_STEP, 0);
  const other = handledWorld(0);
  other.startUser();
  other.state.rip = USER + 2;
  other.step(exits.interrupt(1, 2));
  assert.equal(other.state.rip, handlerOf(13));
});

test('the frame of a fault has RF set, as the processor leaves it; that of a trap has not', () => {
  const flagsOf = (vector: number, step: ReturnType<typeof exits.exception>, words: number): string => {
    const world = handledWorld();
    world.startUser();
    world.vcpu.upcallMask = 0;
    world.state.rip = USER + 2;
    world.step(step);
    assert.equal(world.state.rip, handlerOf(vector));
    assert.equal(world.state.rflags & FLAG_RF, 0, 'the handler runs without it');
    return world.words(ENTRY_STACK - words * 8, words)[words - 3]!;
  };
  const faults = [0, 5, 6, 7, 16, 19].map((vector) => flagsOf(vector, exits.exception(vector), 7));
  const withCode = [10, 11, 12, 13, 17].map((vector) => flagsOf(vector, exits.exception(vector, 8), 8));
  const pageFault = flagsOf(14, exits.pageFault(USER, 4), 8);
  for (const flags of [...faults, ...withCode, pageFault]) assert.equal(flags, hexOf(0x10202));
  const traps = [flagsOf(1, exits.exception(1, DR6_STEP), 7), flagsOf(3, exits.interrupt(3, 1), 7)];
  assert.deepEqual(traps, [hexOf(0x202), hexOf(0x202)]);
});

test('a single step ends behind a write to a page table, too', () => {
  const world = handledWorld();
  world.mm.handled = () => {
    world.state.rip = KERNEL_CODE + 3;
    return true;
  };
  world.vcpu.setFlags(0x302);
  world.step(exits.pageFault(KERNEL_CODE, 7));
  assert.equal(world.state.rip, handlerOf(1));
  assert.equal(world.words(KERNEL_STACK - 56, 3)[2], hexOf(KERNEL_CODE + 3));
  assert.equal(world.state.low(CPU_DR + 6 * 8) & DR6_STEP, DR6_STEP);
});

test('INT 0x82 is no hypercall for a 64-bit domain', () => {
  const world = handledWorld(0, [{ 17: () => assert.fail('called') }]);
  world.state.setReg(RAX, 17, 0);
  world.step(exits.interrupt(0x82));
  assert.equal(world.state.rip, handlerOf(13));
});

test('a write fault of the kernel on a present page is first offered to the page-table emulation', () => {
  const world = handledWorld();
  const offered: string[] = [];
  world.mm.handled = (address, error) => {
    offered.push(`${hexOf(address)} ${error}`);
    return true;
  };
  world.step(exits.pageFault(KERNEL_CODE, 7));
  assert.deepEqual(offered, [`${hexOf(KERNEL_CODE)} 7`]);
  assert.equal(world.state.rip, KERNEL_CODE);
});

test('reads, absent pages, the hypervisor’s range, user mode and a guest without the assist are not emulated', () => {
  const cases: readonly [address: number, error: number, arrange?: (world: XenWorld) => void][] = [
    [KERNEL_CODE, 5],
    [KERNEL_CODE, 6],
    [wide.HYPERVISOR_VIRT_START + PAGE_SIZE, 7],
    [KERNEL_CODE, 7, (world) => world.startUser()],
    [
      KERNEL_CODE,
      7,
      (world) => {
        world.domain.vmAssist = 0;
      },
    ],
  ];
  for (const [address, error, arrange] of cases) {
    const world = handledWorld();
    arrange?.(world);
    world.mm.handled = () => assert.fail('offered');
    world.step(exits.pageFault(address, error));
    assert.equal(world.state.rip, handlerOf(14));
  }
});

test('#NM clears CR0.TS for the handler', () => {
  const world = handledWorld();
  world.vcpu.taskSwitched = true;
  world.step(exits.exception(7));
  assert.equal(world.vcpu.taskSwitched, false);
  assert.equal(world.state.rip, handlerOf(7));
});

test('DR6 keeps what it showed before', () => {
  const world = handledWorld();
  world.step(exits.exception(1, 0xffff0ff1 | 0));
  world.step(exits.exception(1, DR6_STEP));
  assert.equal(world.state.low(CPU_DR + 6 * 8), 0xffff0ff1 | DR6_STEP | 0);
});

test('each exception is counted by its vector', () => {
  const world = handledWorld();
  const before = Array.from(world.host.stats.exceptions.counts);
  world.step(exits.exception(0));
  world.step(exits.exception(16));
  world.step(exits.exception(16));
  const counts = Array.from(world.host.stats.exceptions.counts, (count, i) => count - before[i]!);
  assert.deepEqual([counts[0], counts[16]], [1, 2]);
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    3,
  );
});

test('a double fault ends the domain', async () => {
  const world = handledWorld();
  world.step(exits.exception(8));
  assert.match((await world.crash()).reason, /double fault/);
});

test('the crash report holds the last hypercalls, oldest first', async () => {
  const world = new XenWorld({ families: [{ 17: () => 3, 29: () => -1 }] });
  for (let i = 0; i < 20; i++) {
    world.state.setReg(RAX, i % 2 === 0 ? 17 : 29, 0);
    world.state.setRegNumber(7, i);
    world.step(exits.syscall());
  }
  world.step(exits.exception(0));
  const { hypercalls } = await world.crash();
  assert.deepEqual(
    hypercalls.map(({ arguments: args }) => args[0]),
    [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
  );
  assert.deepEqual(
    hypercalls.slice(-2).map(({ name, arguments: args, result }) => [name, args[0], result]),
    [
      ['xen_version', 18, 3],
      ['sched_op', 19, -1],
    ],
  );
});
