import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as abi from '../../abi/xen/numbers/index.ts';
import { handlers as consoleIo, flushConsole } from './console-io.ts';
import { TestWorld, WINDOW } from './test-world.ts';
import { handlers as version } from './version.ts';
import { handlers as vmAssist } from './vm-assist.ts';

const FAMILIES = [version, vmAssist, consoleIo];

function ask(world: TestWorld, command: number, at = WINDOW): number {
  return world.call(abi.__HYPERVISOR_xen_version, [command, at]);
}

function text(world: TestWorld, length: number, at = WINDOW): string {
  const bytes = new Uint8Array(length);
  world.vcpu.guest.readBytes(at, bytes);
  const [first] = new TextDecoder().decode(bytes).split('\0');
  return first!;
}

describe('xen_version', () => {
  it('is 4.17, and does nothing else when asked with a null pointer', () => {
    const world = new TestWorld(FAMILIES);
    assert.equal(ask(world, abi.XENVER_version, 0), (4 << 16) | 17);
    assert.equal(ask(world, abi.XENVER_pagesize, 0), 4096);
    assert.equal(ask(world, abi.XENVER_pagesize), -abi.XEN_EINVAL);
    assert.equal(ask(world, 99), -abi.XEN_ENOSYS);
  });

  it('names itself in strings that end within their arrays', () => {
    const world = new TestWorld(FAMILIES);
    assert.equal(ask(world, abi.XENVER_extraversion), 0);
    assert.equal(text(world, 16), '.ringone');
    assert.equal(ask(world, abi.XENVER_capabilities), 0);
    assert.match(text(world, 1024), /^xen-3\.0-x86_64 /);
    assert.equal(ask(world, abi.XENVER_changeset), 0);
    assert.equal(text(world, 64), 'unavailable');
    assert.equal(ask(world, abi.XENVER_compile_info), 0);
    assert.equal(text(world, 64), 'TypeScript');
    assert.equal(text(world, 16, WINDOW + 64), 'ringone');
  });

  it('keeps the command line and the build id to itself', () => {
    const world = new TestWorld(FAMILIES);
    assert.equal(ask(world, abi.XENVER_commandline), 0);
    assert.equal(text(world, 16), '<denied>');
    assert.equal(ask(world, abi.XENVER_build_id), -abi.XEN_EPERM);
  });

  it('never offers writable page tables', () => {
    const world = new TestWorld(FAMILIES);
    const submap = () => {
      assert.equal(ask(world, abi.XENVER_get_features, world.words(0, 0)), 0);
      return world.vcpu.guest.readU32(WINDOW + 4);
    };
    const bits = submap();
    assert.equal(bits & (1 << abi.XENFEAT_writable_page_tables), 0);
    assert.equal(bits & (1 << abi.XENFEAT_auto_translated_physmap), 0);
    assert.notEqual(bits & (1 << abi.XENFEAT_mmu_pt_update_preserve_ad), 0);
    assert.equal(bits & (1 << abi.XENFEAT_pae_pgdir_above_4gb), 0);
    world.call(abi.__HYPERVISOR_vm_assist, [abi.VMASST_CMD_enable, abi.VMASST_TYPE_pae_extended_cr3]);
    assert.equal(submap(), bits | (1 << abi.XENFEAT_pae_pgdir_above_4gb));
    assert.equal(ask(world, abi.XENVER_get_features, world.words(1, 0)), -abi.XEN_EINVAL);
  });

  it('tells where the hypervisor begins and who the domain is', () => {
    const world = new TestWorld(FAMILIES);
    assert.equal(ask(world, abi.XENVER_platform_parameters), 0);
    assert.equal(world.vcpu.guest.readU32(WINDOW + 4), 0xffff8000);
    world.domain.handle.set([1, 2, 3]);
    assert.equal(ask(world, abi.XENVER_guest_handle), 0);
    assert.equal(world.vcpu.guest.readU32(WINDOW), 0x00030201);
  });

  it('returns -EFAULT where it cannot write', () => {
    const world = new TestWorld(FAMILIES);
    for (const command of [1, 2, 3, 4, 5, 6, 8, 9]) {
      assert.equal(ask(world, command, 0x10), -abi.XEN_EFAULT, `command ${command}`);
    }
  });
});

describe('vm_assist', () => {
  const assist = (world: TestWorld, command: number, type: number) =>
    world.call(abi.__HYPERVISOR_vm_assist, [command, type]);

  it('switches what Xen knows on and off', () => {
    const world = new TestWorld(FAMILIES);
    for (const type of [0, 1, 2, 3, 4, 5, abi.VMASST_TYPE_m2p_strict]) {
      assert.equal(assist(world, abi.VMASST_CMD_enable, type), 0);
      assert.equal(world.domain.hasAssist(type), true);
      assert.equal(assist(world, abi.VMASST_CMD_disable, type), 0);
      assert.equal(world.domain.hasAssist(type), false);
    }
  });

  it('refuses the rest', () => {
    const world = new TestWorld(FAMILIES);
    for (const type of [6, 31, 33, 64, 0xffffffff]) {
      assert.equal(assist(world, abi.VMASST_CMD_enable, type), -abi.XEN_EINVAL);
    }
    assert.equal(assist(world, 2, abi.VMASST_TYPE_4gb_segments), -abi.XEN_ENOSYS);
    const narrow = new TestWorld(FAMILIES, { is64: false });
    assert.equal(assist(narrow, abi.VMASST_CMD_enable, abi.VMASST_TYPE_m2p_strict), -abi.XEN_EINVAL);
  });
});

describe('console_io', () => {
  const say = (world: TestWorld, words: string) => {
    world.vcpu.guest.writeBytes(WINDOW, new TextEncoder().encode(words));
    return world.call(abi.__HYPERVISOR_console_io, [abi.CONSOLEIO_write, words.length, WINDOW]);
  };

  it('gives out whole lines, without what a terminal would act on', () => {
    const world = new TestWorld(FAMILIES);
    const lines: string[] = [];
    world.domain.consoleSink = (bytes) => lines.push(new TextDecoder().decode(bytes));
    assert.equal(say(world, 'hel'), 0);
    assert.deepEqual(lines, []);
    say(world, 'lo\tworld\u001b[2J\r\nrest');
    assert.deepEqual(lines, ['hello\tworld[2J\n']);
    flushConsole(world.domain);
    assert.deepEqual(lines, ['hello\tworld[2J\n', 'rest\n']);
  });

  it('cuts a line that does not end', () => {
    const world = new TestWorld(FAMILIES);
    let longest = 0;
    world.domain.consoleSink = (bytes) => {
      longest = Math.max(longest, bytes.length);
    };
    say(world, 'x'.repeat(1000));
    assert.equal(longest, 201);
  });

  it('reads nothing, and refuses what it cannot read or does not know', () => {
    const world = new TestWorld(FAMILIES);
    const call = (...args: number[]) => world.call(abi.__HYPERVISOR_console_io, args);
    assert.equal(call(abi.CONSOLEIO_read, 10, WINDOW), 0);
    assert.equal(call(abi.CONSOLEIO_read, 0x80000000, WINDOW), -abi.XEN_E2BIG);
    assert.equal(call(abi.CONSOLEIO_write, 0xffffffff, WINDOW), -abi.XEN_EFAULT);
    assert.equal(call(7, 1, WINDOW), -abi.XEN_ENOSYS);
  });
});
