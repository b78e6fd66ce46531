import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as abi from '../../abi/xen/numbers/index.ts';
import { vcpu_runstate_info } from '../../abi/xen/structures/sched.ts';
import { shared_info, vcpu_info, vcpu_time_info } from '../../abi/xen/structures/shared-info.ts';
import { memoryOf, StructureView } from '../../abi/xen/view.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { frameTableOf } from '../mm/frame-table.ts';
import { PGT_count_mask, PGT_writable_page } from '../mm/page-info.ts';
import { getPageType } from '../mm/page-types.ts';
import { updateWallClock } from '../time.ts';
import type { XenVcpu } from '../vcpu.ts';
import { clockOf } from './full-parts.ts';
import { TestWorld, WINDOW } from './test-world.ts';
import { commands } from './vcpu-timers.ts';

const SECOND = 1e9;
const MS = 1e6;
const AREA = WINDOW + 4096;

function issue(world: TestWorld, command: number, words: readonly number[], target = world.vcpu): number {
  return commands[command]!(world.vcpu, target, world.words(...words));
}

function countTicks(world: TestWorld, vcpu: XenVcpu = world.vcpu): () => number {
  let count = 0;
  world.channels.bindVirq(abi.VIRQ_TIMER, vcpu.id);
  world.channels.onRaise = () => count++;
  return () => count;
}

function runstate(world: TestWorld, at: number): StructureView<keyof typeof vcpu_runstate_info.x64.offset> {
  const bytes = new Uint8Array(vcpu_runstate_info.x64.size);
  world.vcpu.guest.readBytes(at, bytes);
  return new StructureView(vcpu_runstate_info.x64, memoryOf(new DataView(bytes.buffer)), 0);
}

/** The time that a guest computes from its vcpu_time_info at TSC `tsc`. */
function guestTime(world: TestWorld, at: number, tsc: number): bigint {
  const view = world.memory.view;
  const host = world.memory.host(at);
  const { offset } = vcpu_time_info.x64;
  assert.equal(view.getUint32(host + offset.version, true) & 1, 0, 'nobody reads in the middle');
  const delta = BigInt(tsc) - view.getBigUint64(host + offset.tsc_timestamp, true);
  const shifted = delta << BigInt(view.getInt8(host + offset.tsc_shift));
  const scaled = (shifted * BigInt(view.getUint32(host + offset.tsc_to_system_mul, true))) >> 32n;
  return view.getBigUint64(host + offset.system_time, true) + scaled;
}

describe('the published clock', () => {
  it('gives system time for every TSC value, with a version that moves by two', () => {
    const world = new TestWorld([]);
    const at = world.vcpu.vcpuInfo + vcpu_info.x64.offset.time;
    world.pass(3 * SECOND);
    clockOf(world.vcpu).update();
    assert.equal(guestTime(world, at, 3 * SECOND), 3_000_000_000n);
    assert.equal(guestTime(world, at, 10_000_000_000_001), 10_000_000_000_001n);
    assert.equal(world.memory.read32(at), 2);
    clockOf(world.vcpu).update();
    assert.equal(world.memory.read32(at), 4);
    world.memory.write32(at, 5);
    clockOf(world.vcpu).update();
    assert.equal(world.memory.read32(at), 8, 'and from an odd one, which only a guest can have left, too');
    assert.equal(world.memory.read8(at + vcpu_time_info.x64.offset.flags), abi.XEN_PVCLOCK_TSC_STABLE_BIT);
  });

  it('is renewed when its vCPU gets the processor', () => {
    const world = new TestWorld([]);
    world.pass(5);
    world.host.schedule(world.vcpu);
    const at = world.vcpu.vcpuInfo + vcpu_info.x64.offset.time;
    assert.equal(world.memory.read32(at), 2);
    assert.equal(world.memory.read32(at + vcpu_time_info.x64.offset.system_time), 5);
  });

  it('is kept a second time where the guest asks for it', () => {
    const world = new TestWorld([]);
    world.pass(7);
    assert.equal(issue(world, abi.VCPUOP_register_vcpu_time_memory_area, [AREA, 0]), 0);
    const copy = world.frames[1]! * PAGE_SIZE;
    assert.equal(guestTime(world, copy, 9), 9n);
    assert.equal(
      world.memory.read32(copy),
      world.memory.read32(world.vcpu.vcpuInfo + vcpu_info.x64.offset.time),
    );
    assert.equal(
      issue(world, abi.VCPUOP_register_vcpu_time_memory_area, [0x10, 0]),
      0,
      'a bad address is lost',
    );
    const xen = [0, -0x8000];
    assert.equal(issue(world, abi.VCPUOP_register_vcpu_time_memory_area, xen), -abi.XEN_EFAULT);
    assert.equal(issue(world, abi.VCPUOP_register_runstate_memory_area, xen), -abi.XEN_EFAULT);
  });

  it('has a wall clock that says what the time was at system time 0', () => {
    const world = new TestWorld([]);
    world.domain.wallClockSeconds = 2 ** 32 + 5;
    world.domain.wallClockNanoseconds = 6;
    updateWallClock(world.domain);
    const { offset } = shared_info.x64;
    const word = (at: number) => world.memory.read32(world.domain.sharedInfo + at);
    assert.deepEqual([word(offset.wc_sec), word(offset.wc_nsec), word(offset.wc_sec_hi)], [5, 6, 1]);
    assert.equal(word(offset.wc_version), 2);
  });
});

describe('the one-shot timer', () => {
  it('fires at its deadline, or at once if that is past, without an error', () => {
    const world = new TestWorld([]);
    const count = countTicks(world);
    world.pass(SECOND);
    assert.equal(issue(world, abi.VCPUOP_set_singleshot_timer, [2 * SECOND, 0, 0, 0]), 0);
    world.pass(SECOND - 1);
    assert.equal(count(), 0);
    world.pass(1);
    assert.equal(count(), 1);
    world.memory.fill(world.domain.sharedInfo, 0, PAGE_SIZE);
    assert.equal(issue(world, abi.VCPUOP_set_singleshot_timer, [1, 0, 0, 0]), 0);
    assert.equal(count(), 2);
    assert.equal(
      issue(world, abi.VCPUOP_set_singleshot_timer, [1, 0, abi.VCPU_SSHOTTMR_future, 0]),
      0,
      'Xen 4.17 no longer looks at the flag',
    );
  });

  it('with a deadline that is past, forgets the one before', () => {
    const world = new TestWorld([]);
    const count = countTicks(world);
    world.pass(SECOND);
    issue(world, abi.VCPUOP_set_singleshot_timer, [2 * SECOND, 0, 0, 0]);
    issue(world, abi.VCPUOP_set_singleshot_timer, [1, 0, 0, 0]);
    assert.equal(count(), 1);
    world.memory.fill(world.domain.sharedInfo, 0, PAGE_SIZE);
    world.pass(5 * SECOND);
    assert.equal(count(), 1);
  });

  it('can be stopped, and takes a deadline beyond 2^63 as far away', () => {
    const world = new TestWorld([]);
    const count = countTicks(world);
    issue(world, abi.VCPUOP_set_singleshot_timer, [-1, -1, 0, 0]);
    world.pass(1000 * SECOND);
    issue(world, abi.VCPUOP_set_singleshot_timer, [0, 1000, 0, 0]);
    assert.equal(issue(world, abi.VCPUOP_stop_singleshot_timer, []), 0);
    world.pass(5000 * SECOND);
    assert.equal(count(), 0);
  });

  it("is one's own only", () => {
    const world = new TestWorld([]);
    const other = world.domain.vcpus[1]!;
    assert.equal(issue(world, abi.VCPUOP_set_singleshot_timer, [1, 0, 0, 0], other), -abi.XEN_EINVAL);
    assert.equal(issue(world, abi.VCPUOP_stop_singleshot_timer, [], other), -abi.XEN_EINVAL);
  });
});

describe('the periodic timer', () => {
  it('ticks every 10 ms from birth, but only while its vCPU runs', () => {
    const world = new TestWorld([]);
    const count = countTicks(world);
    const seen = () => {
      world.memory.fill(world.domain.sharedInfo, 0, PAGE_SIZE);
      return count();
    };
    world.pass(SECOND);
    assert.equal(count(), 0);
    clockOf(world.vcpu).changeRunstate(abi.RUNSTATE_running);
    assert.equal(seen(), 1, 'one that is late ticks at once');
    world.pass(10 * MS - 1);
    assert.equal(seen(), 1);
    world.pass(1);
    assert.equal(seen(), 2);
    clockOf(world.vcpu).changeRunstate(abi.RUNSTATE_blocked);
    world.pass(SECOND);
    assert.equal(seen(), 2);
    clockOf(world.vcpu).changeRunstate(abi.RUNSTATE_running);
    assert.equal(seen(), 3);
    world.pass(10 * MS - 1);
    assert.equal(seen(), 3, 'from a late tick to the next it is a whole period');
    world.pass(1);
    assert.equal(seen(), 4);
  });

  it('can be set to a millisecond or more, and stopped', () => {
    const world = new TestWorld([]);
    const count = countTicks(world);
    clockOf(world.vcpu).changeRunstate(abi.RUNSTATE_running);
    assert.equal(issue(world, abi.VCPUOP_set_periodic_timer, [MS - 1, 0]), -abi.XEN_EINVAL);
    assert.equal(issue(world, abi.VCPUOP_set_periodic_timer, [-1, -1]), -abi.XEN_EINVAL);
    assert.equal(issue(world, abi.VCPUOP_set_periodic_timer, [MS, 0]), 0);
    world.pass(MS);
    assert.equal(count(), 1);
    assert.equal(issue(world, abi.VCPUOP_stop_periodic_timer, []), 0);
    world.memory.fill(world.domain.sharedInfo, 0, PAGE_SIZE);
    world.pass(SECOND);
    assert.equal(count(), 1);
  });
});

describe('run states', () => {
  it('account for every nanosecond', () => {
    const world = new TestWorld([]);
    const other = world.domain.vcpus[1]!;
    const { runstate: state } = clockOf(other);
    world.pass(5);
    clockOf(other).changeRunstate(abi.RUNSTATE_runnable);
    world.pass(3);
    clockOf(other).changeRunstate(abi.RUNSTATE_running);
    world.pass(7);
    const times = [0, 1, 2, 3].map((each) => state.timeNs(each, world.clock.nowNs()));
    assert.deepEqual(times, [7, 3, 0, 5]);
    assert.equal(commands[abi.VCPUOP_get_runstate_info]!(world.vcpu, other, AREA), 0);
    const info = runstate(world, AREA);
    assert.deepEqual([info.get('state'), info.get('state_entry_time')], [abi.RUNSTATE_running, 8]);
    assert.equal(world.vcpu.guest.readNumber64(AREA + vcpu_runstate_info.x64.offset.time), 7);
  });

  it('are "running" again for one that is woken while it still holds the processor', () => {
    const world = new TestWorld([]);
    const time = clockOf(world.vcpu);
    const other = clockOf(world.domain.vcpus[1]!);
    for (const each of [time, other]) {
      each.changeRunstate(abi.RUNSTATE_blocked);
      each.changeRunstate(abi.RUNSTATE_runnable);
    }
    assert.equal(time.runstate.state, abi.RUNSTATE_running);
    assert.equal(other.runstate.state, abi.RUNSTATE_runnable);
    time.changeRunstate(abi.RUNSTATE_runnable);
    assert.equal(time.runstate.state, abi.RUNSTATE_runnable, 'another one takes the processor');
  });

  it('begin when they are entered, and not once more', () => {
    const world = new TestWorld([]);
    const time = clockOf(world.vcpu);
    world.pass(4);
    time.changeRunstate(abi.RUNSTATE_running);
    world.pass(3);
    time.changeRunstate(abi.RUNSTATE_running);
    commands[abi.VCPUOP_get_runstate_info]!(world.vcpu, world.vcpu, AREA);
    assert.equal(runstate(world, AREA).get('state_entry_time'), 4);
  });

  it('of a vCPU that has not the processor are shown up to now when its area is registered', () => {
    const world = new TestWorld([]);
    world.pass(6);
    const other = world.domain.vcpus[1]!;
    assert.equal(issue(world, abi.VCPUOP_register_runstate_memory_area, [AREA, 0], other), 0);
    const offline = AREA + vcpu_runstate_info.x64.offset.time + abi.RUNSTATE_offline * 8;
    assert.equal(world.vcpu.guest.readNumber64(offline), 6);
  });

  it('are copied into the area that the guest registered, at each change', () => {
    const world = new TestWorld([]);
    assert.equal(issue(world, abi.VCPUOP_register_runstate_memory_area, [AREA, 0]), 0);
    assert.equal(runstate(world, AREA).get('state'), abi.RUNSTATE_offline);
    world.pass(9);
    clockOf(world.vcpu).changeRunstate(abi.RUNSTATE_running);
    assert.equal(runstate(world, AREA).get('state'), abi.RUNSTATE_running);
    assert.equal(runstate(world, AREA).get('state_entry_time'), 9);
  });

  it('are copied when the kernel is entered, if the address space of the user was loaded', () => {
    const world = new TestWorld([]);
    issue(world, abi.VCPUOP_register_runstate_memory_area, [AREA, 0]);
    issue(world, abi.VCPUOP_register_vcpu_time_memory_area, [AREA + 256, 0]);
    const { frames } = world.processor;
    world.pass(5);
    world.processor.frames = [];
    world.vcpu.kernelMode = false;
    clockOf(world.vcpu).changeRunstate(abi.RUNSTATE_running);
    clockOf(world.vcpu).update();
    world.processor.frames = frames;
    world.vcpu.kernelMode = true;
    assert.equal(runstate(world, AREA).get('state'), abi.RUNSTATE_offline);
    const systemTime = AREA + 256 + vcpu_time_info.x64.offset.system_time;
    assert.equal(world.vcpu.guest.readNumber64(systemTime), 0);
    clockOf(world.vcpu).kernelEntered();
    assert.equal(runstate(world, AREA).get('state'), abi.RUNSTATE_running);
    assert.equal(world.vcpu.guest.readNumber64(systemTime), 5, 'and the clock with them');
  });

  it('survive an area that is no longer mapped', () => {
    const world = new TestWorld([]);
    issue(world, abi.VCPUOP_register_runstate_memory_area, [AREA, 0]);
    world.processor.frames = [];
    clockOf(world.vcpu).changeRunstate(abi.RUNSTATE_running);
    assert.equal(clockOf(world.vcpu).runstate.state, abi.RUNSTATE_running);
  });
});

describe('VCPUOP_register_vcpu_info', () => {
  const register = (world: TestWorld, mfn: number, offset: number, target = world.vcpu) =>
    issue(world, abi.VCPUOP_register_vcpu_info, [mfn, 0, offset, 0], target);

  it('moves what is there, calls everything pending and renews the clock', () => {
    const world = new TestWorld([]);
    const port = world.channels.bindIpi(0);
    world.memory.write8(world.vcpu.vcpuInfo + 1, 1);
    world.pass(5);
    const mfn = world.frames[2]!;
    assert.equal(register(world, mfn, 128), 0);
    const at = mfn * PAGE_SIZE + 128;
    assert.equal(world.vcpu.vcpuInfo, at);
    assert.equal(world.memory.read8(at), 1);
    assert.equal(world.memory.read8(at + 1), 1, 'the mask is taken along');
    const selector = at + vcpu_info.x64.offset.evtchn_pending_sel;
    assert.deepEqual([world.memory.read32(selector), world.memory.read32(selector + 4)], [-1, -1]);
    assert.equal(guestTime(world, at + vcpu_info.x64.offset.time, 6), 6n);
    world.memory.write8(at, 0);
    world.memory.write64(selector, 0, 0);
    world.channels.send(port);
    assert.equal(world.memory.read8(at), 1, 'events go to the new place');
  });

  it('takes the last place in a page', () => {
    const world = new TestWorld([]);
    assert.equal(register(world, world.frames[2]!, PAGE_SIZE - vcpu_info.x64.size), 0);
  });

  it('starts a vCPU without a place of its own with upcalls masked', () => {
    const world = new TestWorld([]);
    const other = world.domain.vcpus[1]!;
    other.vcpuInfo = 0;
    assert.equal(register(world, world.frames[2]!, 0, other), 0);
    assert.equal(world.memory.read8(other.vcpuInfo + 1), 1);
  });

  it('works once, and for a vCPU that does not run', () => {
    const world = new TestWorld([]);
    const other = world.domain.vcpus[1]!;
    other.online = true;
    assert.equal(register(world, world.frames[2]!, 0, other), -abi.XEN_EINVAL);
    assert.equal(register(world, world.frames[2]!, 0), 0);
    assert.equal(register(world, world.frames[3]!, 0), -abi.XEN_EINVAL);
  });

  it('refuses a place that crosses a page, is misaligned, is not writable memory or is not ours', () => {
    const world = new TestWorld([]);
    const table = frameTableOf(world.host);
    const [mfn, used] = [world.frames[2]!, world.frames[3]!];
    assert.equal(register(world, mfn, PAGE_SIZE - 56), -abi.XEN_ENXIO);
    assert.equal(register(world, mfn, 4), -abi.XEN_ENXIO);
    assert.equal(register(world, world.memory.frames, 0), -abi.XEN_EINVAL);
    assert.equal(issue(world, abi.VCPUOP_register_vcpu_info, [mfn, 1, 0, 0]), -abi.XEN_EINVAL);
    assert.equal(register(world, world.domain.sharedInfo / PAGE_SIZE, 0), -abi.XEN_EINVAL);
    // A page of descriptors cannot be written.
    assert.equal(getPageType(table, used, 5 << 29), 0);
    assert.equal(register(world, used, 0), -abi.XEN_EINVAL);
    assert.equal(world.vcpu.vcpuInfoRegistered, false);
  });

  it('holds the frame as writable memory until the vCPU is gone', () => {
    const world = new TestWorld([]);
    const table = frameTableOf(world.host);
    const mfn = world.frames[2]!;
    register(world, mfn, 0);
    assert.equal(table.typeInfo[mfn]! & PGT_count_mask, 1);
    assert.notEqual(getPageType(table, mfn, 1 << 29), 0);
    clockOf(world.vcpu).changeRunstate(abi.RUNSTATE_running);
    clockOf(world.vcpu).setSingleshot(SECOND);
    clockOf(world.vcpu).setPollTimeout(SECOND);
    clockOf(world.vcpu).release();
    assert.equal(world.host.timers.nextNs, Number.POSITIVE_INFINITY, 'and its timers stop');
    assert.equal(table.typeInfo[mfn]! & PGT_count_mask, 0);
    assert.equal(getPageType(table, mfn, PGT_writable_page), 0);
  });
});
