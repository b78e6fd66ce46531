import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  SHUTDOWN_reboot,
  VGCF_failsafe_disables_events,
  VGCF_I387_VALID,
  VGCF_in_kernel,
  VGCF_online,
  VGCF_syscall_disables_events,
  x86_64 as wide,
} from '../abi/xen/numbers/index.ts';
import { trap_info, vcpu_guest_context } from '../abi/xen/structures/index.ts';
import { memoryOf, StructureView } from '../abi/xen/view.ts';
import {
  CPU_DR,
  CPU_FPU_CONTROL,
  CPU_FPU_DP,
  CPU_FPU_EMPTY,
  CPU_FPU_IP,
  CPU_FPU_OPCODE,
  CPU_FPU_STATUS,
  CPU_FPU_TOP,
  CPU_MXCSR,
  CPU_X87,
  CPU_XMM,
} from '../machine/layout.ts';
import { PAGE_SIZE } from '../machine/memory.ts';
import { CS, DS, FS, GS, R15, RCX, RSI, RSP, SS } from '../machine/x86/registers.ts';
import { HypercallArguments } from './hypercalls/arguments.ts';
import { handlers as vcpuOp } from './hypercalls/vcpu.ts';
import { noteShutdownCode } from './lifecycle.ts';
import { hex64, hexOf, KERNEL, KERNEL_CODE, KERNEL_STACK, USER, XenWorld } from './testing/world.ts';
import type { XenVcpu } from './vcpu.ts';
import { applyVcpuContext, VCPU_CONTEXT_BYTES } from './vcpu-context.ts';

const LAYOUT = vcpu_guest_context.x64;

class Context {
  readonly bytes = new Uint8Array(VCPU_CONTEXT_BYTES);
  readonly view = new DataView(this.bytes.buffer);
  readonly fields = new StructureView(LAYOUT, memoryOf(this.view), 0);

  set64(at: number, value: number): void {
    this.view.setInt32(at, value | 0, true);
    this.view.setInt32(at + 4, Math.floor(value / 4294967296) | 0, true);
  }
  setRegister(control: number, mfn: number): void {
    this.set64(LAYOUT.offset.ctrlreg + control * 8, mfn * PAGE_SIZE);
  }
}

/** A world with a second vCPU that has no state yet, and a context that would start it in the kernel. */
function twoVcpus(): { world: XenWorld; second: XenVcpu; context: Context } {
  const world = new XenWorld({ vcpus: 2, families: [vcpuOp] });
  const context = new Context();
  context.fields.set('flags', VGCF_in_kernel);
  context.fields.set('user_regs_rip', KERNEL_CODE + 0x40);
  context.fields.set('user_regs_rsp', KERNEL_STACK);
  context.fields.set('user_regs_rflags', 0x3002);
  context.fields.set('user_regs_cs', wide.FLAT_KERNEL_CS & ~3);
  context.fields.set('user_regs_ss', wide.FLAT_KERNEL_SS);
  context.setRegister(3, world.kernelRoot);
  return { world, second: world.domain.vcpus[1]!, context };
}

test('a context sets every register, the callbacks, the trap table and the bases', () => {
  const { world, second, context } = twoVcpus();
  const { fields, view } = context;
  view.setUint32(LAYOUT.offset.user_regs_r15, 0x89abcdef, true);
  view.setUint32(LAYOUT.offset.user_regs_r15 + 4, 0x01234567, true);
  fields.set('user_regs_rsi', KERNEL);
  fields.set('kernel_ss', 0xe028);
  fields.set('kernel_sp', KERNEL_STACK + 16);
  fields.set('event_callback_eip', KERNEL_CODE + 1);
  fields.set('failsafe_callback_eip', KERNEL_CODE + 2);
  fields.set('syscall_callback_eip', KERNEL_CODE + 3);
  fields.set('fs_base', 0x1000);
  fields.set('gs_base_kernel', -0x2000);
  fields.set('gs_base_user', 0x3000);
  const trap = LAYOUT.offset.trap_ctxt + 14 * trap_info.x64.size;
  view.setUint8(trap + trap_info.x64.offset.flags, 4);
  context.set64(trap + trap_info.x64.offset.address, KERNEL_CODE + 0xe0);
  context.set64(LAYOUT.offset.debugreg, 0x5000);

  assert.equal(applyVcpuContext(second, context.bytes), 0);
  const { state, callbacks, traps } = second;
  assert.equal(hex64(state.regLow(R15), state.regHigh(R15)), '0123456789abcdef');
  assert.deepEqual([state.reg(RSI), state.reg(RSP), state.rip], [KERNEL, KERNEL_STACK, KERNEL_CODE + 0x40]);
  assert.deepEqual([state.rflags, second.iopl], [0x202, 3]);
  assert.deepEqual([state.selector(CS), state.selector(SS)], [wide.FLAT_KERNEL_CS, wide.FLAT_KERNEL_SS]);
  assert.deepEqual([second.kernelSs, second.kernelSp], [0xe02b, KERNEL_STACK + 16]);
  assert.deepEqual(
    [callbacks.event.address, callbacks.failsafe.address, callbacks.syscall.address],
    [KERNEL_CODE + 1, KERNEL_CODE + 2, KERNEL_CODE + 3],
  );
  assert.deepEqual([traps.address[14], traps.masksEvents(14)], [KERNEL_CODE + 0xe0, true]);
  assert.deepEqual(
    [state.segmentBase(FS), state.segmentBase(GS), second.gsBaseInactiveLow],
    [0x1000, -0x2000, 0x3000],
  );
  assert.equal(state.low(CPU_DR), 0x5000);
  assert.deepEqual([second.kernelTable, second.userTable, second.kernelMode], [world.kernelRoot, 0, true]);
  assert.equal(second.initialised, true);
  assert.equal(second.online, false);
});

test('a context says of CR0 whether TS is set, of CR4 what a guest may choose, and which callbacks mask events', () => {
  const settings = (flags: number, cr0: number, cr4: number) => {
    const { second, context } = twoVcpus();
    context.fields.set('flags', VGCF_in_kernel | flags);
    context.set64(LAYOUT.offset.ctrlreg, cr0);
    context.set64(LAYOUT.offset.ctrlreg + 4 * 8, cr4);
    assert.equal(applyVcpuContext(second, context.bytes), 0);
    const { failsafe, syscall } = second.callbacks;
    return [failsafe.masksEvents, syscall.masksEvents, second.taskSwitched, second.cr4 & 0xc];
  };
  assert.deepEqual(settings(0, 0, 0), [false, false, false, 0]);
  assert.deepEqual(settings(VGCF_failsafe_disables_events, 8, 4), [true, false, true, 4]);
  assert.deepEqual(settings(VGCF_syscall_disables_events, 0, 8), [false, true, false, 8]);
});

test('without VGCF_in_kernel the vCPU starts in user mode, on its user root, with the user’s GS base', () => {
  const { world, second, context } = twoVcpus();
  context.fields.set('flags', VGCF_online);
  context.fields.set('gs_base_kernel', -0x2000);
  context.fields.set('gs_base_user', 0x3000);
  assert.equal(applyVcpuContext(second, context.bytes), -22);
  context.setRegister(1, world.userRoot);
  assert.equal(applyVcpuContext(second, context.bytes), 0);
  assert.deepEqual([second.kernelMode, second.userTable, second.online], [false, world.userRoot, true]);
  assert.equal(second.state.segmentBase(GS), 0x3000);
});

test('addresses must be canonical, the LDT aligned, and both tables within their limits', () => {
  const wrong: ((context: Context) => void)[] = [
    ({ fields }) => fields.set('user_regs_rip', 2 ** 47),
    ({ fields }) => fields.set('gs_base_user', 2 ** 50),
    ({ fields }) => fields.set('event_callback_eip', 2 ** 47),
    ({ fields }) => fields.set('ldt_base', 0x1008),
    ({ fields }) => fields.set('ldt_ents', 8193),
    ({ fields }) => fields.set('gdt_ents', 0x1c01),
    (context) => context.set64(LAYOUT.offset.trap_ctxt + trap_info.x64.offset.address, 2 ** 47),
    (context) => context.setRegister(3, 255),
    (context) => {
      context.fields.set('gdt_ents', 1);
      context.set64(LAYOUT.offset.gdt_frames, 255);
    },
  ];
  for (const spoil of wrong) {
    const { second, context } = twoVcpus();
    spoil(context);
    assert.equal(applyVcpuContext(second, context.bytes), -22, spoil.toString());
    assert.equal(second.initialised, false);
  }
});

test('a context whose root is refused gives its GDT frames back', () => {
  const { world, second, context } = twoVcpus();
  const gdt = world.frame();
  context.fields.set('gdt_ents', 512);
  context.set64(LAYOUT.offset.gdt_frames, gdt);
  context.setRegister(3, 255);
  assert.equal(applyVcpuContext(second, context.bytes), -22);
  assert.equal(world.mm.references.get(gdt), 0);
});

test('assists that a PV domain cannot have are refused on vCPU 0', () => {
  const { world, context } = twoVcpus();
  world.vcpu.initialised = false;
  context.set64(LAYOUT.offset.vm_assist, 1 << 7);
  assert.equal(applyVcpuContext(world.vcpu, context.bytes), -22);
  context.set64(LAYOUT.offset.vm_assist, 4 + 2 ** 32);
  assert.equal(applyVcpuContext(world.vcpu, context.bytes), 0);
  assert.deepEqual(
    [world.domain.hasAssist(2), world.domain.hasAssist(32), world.domain.hasAssist(3)],
    [true, true, false],
  );
});

test('an FXSAVE image is unpacked: control words, tags, stack order, XMM', () => {
  const { second, context } = twoVcpus();
  const { view, fields, bytes } = context;
  fields.set('flags', VGCF_in_kernel | VGCF_I387_VALID);
  view.setUint16(0, 0x27f, true);
  view.setUint16(2, (0x3801 & ~0x3800) | (6 << 11), true);
  view.setUint8(4, 0b11000000);
  view.setUint16(6, 0x123, true);
  view.setUint32(8, 0x1111, true);
  view.setUint32(16, 0x2222, true);
  view.setUint32(24, 0x1fa0, true);
  view.setUint32(32, 0x11112222, true);
  bytes[160 + 17] = 0x77;
  assert.equal(applyVcpuContext(second, bytes), 0);
  const { memory, base } = second.state;
  assert.equal(memory.view.getUint16(base + CPU_FPU_CONTROL, true), 0x27f);
  assert.equal(memory.view.getUint32(base + CPU_FPU_TOP, true), 6);
  assert.equal(memory.view.getUint16(base + CPU_FPU_STATUS, true), 1, 'TOP is kept apart');
  const [opcode, ip, dp] = [CPU_FPU_OPCODE, CPU_FPU_IP, CPU_FPU_DP].map((at) =>
    memory.view.getUint16(base + at, true),
  );
  assert.deepEqual([opcode, ip, dp], [0x123, 0x1111, 0x2222]);
  assert.equal(memory.u8[base + CPU_FPU_EMPTY], 0b00111111);
  assert.equal(memory.view.getUint32(base + CPU_MXCSR, true), 0x1fa0);
  // ST(0) is physical register 6.
  assert.equal(memory.view.getUint32(base + CPU_X87 + 6 * 16, true), 0x11112222);
  assert.equal(memory.u8[base + CPU_XMM + 17], 0x77);
});

test('selectors that cannot be loaded lead to the failsafe callback, with all four on the stack', () => {
  const { world, second, context } = twoVcpus();
  context.fields.set('flags', VGCF_in_kernel | VGCF_online | 8);
  context.fields.set('user_regs_ds', 0x7b);
  context.fields.set('user_regs_es', wide.FLAT_USER_DS32);
  context.fields.set('user_regs_fs', 0x83);
  context.fields.set('user_regs_gs', 0x8b);
  context.fields.set('fs_base', 0x1000);
  context.fields.set('failsafe_callback_eip', KERNEL_CODE + 0x500);
  assert.equal(applyVcpuContext(second, context.bytes), 0);
  world.host.schedule(second);
  second.upcallMask = 0;
  second.prepare();
  const { state } = second;
  assert.equal(state.rip, KERNEL_CODE + 0x500);
  assert.equal(state.reg(RSP), KERNEL_STACK - 11 * 8);
  const words = Array.from({ length: 11 }, (_, i) => second.guest.readU32(state.reg(RSP) + i * 8));
  assert.deepEqual(words.slice(2, 6), [0x7b, 0xe02b, 0x83, 0x8b]);
  assert.deepEqual([state.selector(FS), state.segmentBase(FS)], [0, 0x1000], 'bases are not the selectors’');
  assert.equal(second.guest.read32(state.reg(RSP) + 8 * 8), 0x202);
  assert.deepEqual([hexOf(words[6]! | 0), words[7]], [hexOf(KERNEL_CODE + 0x40), 0xe030]);
  assert.equal(state.selector(DS), 0);
  assert.equal(second.upcallMask, 1);
});

test('the failsafe callback is entered from user mode on the kernel’s stack, and masks events only if it shall', () => {
  const { world, second, context } = twoVcpus();
  const { fields } = context;
  fields.set('flags', VGCF_online);
  context.setRegister(1, world.userRoot);
  fields.set('user_regs_rip', USER);
  fields.set('user_regs_cs', wide.FLAT_USER_CS);
  fields.set('user_regs_rflags', 0x44302);
  fields.set('user_regs_ds', 0x7b);
  // In two pages.
  const top = KERNEL + 5 * PAGE_SIZE + 0x20;
  fields.set('kernel_sp', top + 8);
  fields.set('failsafe_callback_eip', KERNEL_CODE + 0x500);
  assert.equal(applyVcpuContext(second, context.bytes), 0);
  world.host.schedule(second);
  second.upcallMask = 0;
  second.prepare();
  const { state } = second;
  assert.deepEqual([state.rip, second.kernelMode], [KERNEL_CODE + 0x500, true]);
  assert.equal(state.reg(RSP), top - 11 * 8);
  assert.deepEqual([state.selector(CS), state.selector(SS)], [wide.FLAT_KERNEL_CS, wide.FLAT_KERNEL_SS]);
  assert.equal(second.upcallMask, 0);
  const words = Array.from({ length: 11 }, (_, i) => second.guest.readU32(state.reg(RSP) + i * 8));
  assert.deepEqual([words[6], words[7], words[8]], [USER, wide.FLAT_USER_CS, 0x44302]);
  assert.equal(state.rflags, 0x202, 'TF, NT and AC are not for the kernel');
  assert.equal(state.reg(RCX), KERNEL_CODE + 0x500, 'it is entered as SYSRET does');
});

// ------------------------------------------------------------------ vcpu_op

const AT = KERNEL + PAGE_SIZE;

function op(world: XenWorld, command: number, vcpuId: number, at = 0): number {
  const args = new HypercallArguments();
  args.set(0, command);
  args.set(1, vcpuId);
  args.set(2, at);
  return world.domain.hypercalls.call(world.vcpu, 24, args);
}

test('a second vCPU is initialised once, brought up and down', () => {
  const { world, second, context } = twoVcpus();
  assert.equal(op(world, 1, 1), -22);
  world.vcpu.guest.writeBytes(AT, context.bytes);
  assert.equal(op(world, 0, 1, AT), 0);
  assert.equal(op(world, 0, 1, AT), -17);
  assert.equal(op(world, 3, 1), 0);
  assert.equal(op(world, 1, 1), 0);
  assert.equal(op(world, 3, 1), 1);
  assert.equal(second.runnable, true);
  assert.equal(op(world, 2, 1), 0);
  assert.equal(second.runnable, false);
});

test('VCPUOP_is_up fails past the last vCPU, so that guests can count', () => {
  const { world } = twoVcpus();
  assert.deepEqual(
    [op(world, 3, 0), op(world, 3, 1), op(world, 3, 2), op(world, 3, 0xffffffff)],
    [1, 0, -2, -2],
  );
});

test('the last vCPU to go down powers the domain off', async () => {
  const { world } = twoVcpus();
  assert.equal(op(world, 2, 0), 0);
  assert.deepEqual(await world.domain.exited, { reason: 'poweroff' });
});

test('the last vCPU to go down ends the domain for the reason that was noted, if one was', async () => {
  const { world } = twoVcpus();
  noteShutdownCode(world.domain, SHUTDOWN_reboot);
  assert.equal(op(world, 2, 0), 0);
  assert.deepEqual(await world.domain.exited, { reason: 'reboot' });
});

test('VCPUOP_initialise asks for a vcpu_info', () => {
  const { world, second, context } = twoVcpus();
  world.vcpu.guest.writeBytes(AT, context.bytes);
  second.vcpuInfo = 0;
  assert.equal(op(world, 0, 1, AT), -22);
  assert.equal(second.initialised, false);
});

test('VCPUOP_send_nmi takes no argument and wakes its vCPU', () => {
  const { world, second } = twoVcpus();
  assert.equal(op(world, 11, 1, AT), -22);
  second.blocked = true;
  assert.equal(op(world, 11, 1), 0);
  assert.deepEqual([second.nmiPending, second.blocked], [true, false]);
});

test('a command nobody knows is -ENOSYS', () => {
  assert.equal(op(twoVcpus().world, 99, 0), -38);
});
