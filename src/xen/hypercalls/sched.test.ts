import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as abi from '../../abi/xen/numbers/index.ts';
import { VIRQ_TIMER } from '../../abi/xen/numbers/index.ts';
import { setUpcallMask, upcallsMasked } from '../events/index.ts';
import { handlers } from './sched.ts';
import { TestWorld, WINDOW } from './test-world.ts';

const OP = abi.__HYPERVISOR_sched_op;
const SECOND = 1e9;

function poll(world: TestWorld, ports: readonly number[], timeout = 0, count = ports.length): number {
  const list = WINDOW + 64;
  ports.forEach((port, i) => {
    world.vcpu.guest.write32(list + i * 4, port);
  });
  return world.call(OP, [
    abi.SCHEDOP_poll,
    world.words(list, 0, count, 0, timeout | 0, Math.floor(timeout / 2 ** 32)),
  ]);
}

describe('sched_op', () => {
  it('blocks with upcalls unmasked until an event comes', () => {
    const world = new TestWorld([handlers]);
    setUpcallMask(world.memory, world.vcpu, true);
    const port = world.channels.bindIpi(0);
    assert.equal(world.call(OP, [abi.SCHEDOP_block, 0]), 0);
    assert.equal(world.vcpu.blocked, true);
    assert.equal(upcallsMasked(world.memory, world.vcpu), false);
    world.channels.send(port);
    assert.equal(world.vcpu.blocked, false);
    world.call(OP, [abi.SCHEDOP_block, 0]);
    assert.ok(!world.vcpu.blocked, 'an event that waits for delivery does not let it block');
  });

  it('has the old form under number 6, by value, and the new one under 29, by pointer', async () => {
    assert.equal(abi.__HYPERVISOR_sched_op, 29);
    assert.equal(abi.__HYPERVISOR_sched_op_compat, 6);
    const old = new TestWorld([handlers]);
    assert.equal(old.call(6, [abi.SCHEDOP_yield]), 0);
    assert.equal(old.call(6, [abi.SCHEDOP_block]), 0);
    assert.equal(old.vcpu.blocked, true);
    assert.equal(old.call(6, [abi.SCHEDOP_poll, WINDOW]), -abi.XEN_ENOSYS);
    assert.equal(old.call(6, [abi.SCHEDOP_shutdown, abi.SHUTDOWN_reboot]), 0);
    assert.deepEqual(await old.domain.exited, { reason: 'reboot' });
    const modern = new TestWorld([handlers]);
    assert.equal(modern.call(29, [abi.SCHEDOP_yield, 0]), 0);
    assert.equal(modern.call(29, [abi.SCHEDOP_shutdown, abi.SHUTDOWN_reboot]), -abi.XEN_EFAULT);
    assert.equal(modern.call(29, [abi.SCHEDOP_shutdown, modern.words(abi.SHUTDOWN_poweroff)]), 0);
    assert.deepEqual(await modern.domain.exited, { reason: 'poweroff' });
    assert.equal(modern.call(29, [99, 0]), -abi.XEN_ENOSYS);
  });

  it('shuts down for the reason that was noted first', async () => {
    const world = new TestWorld([handlers]);
    world.call(OP, [abi.SCHEDOP_shutdown_code, world.words(abi.SHUTDOWN_suspend)]);
    world.call(OP, [abi.SCHEDOP_shutdown_code, world.words(abi.SHUTDOWN_crash)]);
    world.call(OP, [abi.SCHEDOP_shutdown, world.words(abi.SHUTDOWN_reboot)]);
    assert.deepEqual(await world.domain.exited, { reason: 'suspend' });
  });

  it('takes of a reason its lowest byte', async () => {
    const told = new TestWorld([handlers]);
    told.call(OP, [abi.SCHEDOP_shutdown, told.words(0x100 | abi.SHUTDOWN_reboot)]);
    assert.deepEqual(await told.domain.exited, { reason: 'reboot' });
    const noted = new TestWorld([handlers]);
    noted.call(OP, [abi.SCHEDOP_shutdown_code, noted.words(0x100 | abi.SHUTDOWN_reboot)]);
    noted.call(OP, [abi.SCHEDOP_shutdown, noted.words(abi.SHUTDOWN_poweroff)]);
    assert.deepEqual(await noted.domain.exited, { reason: 'reboot' });
  });

  it('reports the registers of a kernel that says it has crashed', async () => {
    const world = new TestWorld([handlers]);
    world.vcpu.state.rip = 0x1234;
    world.call(OP, [abi.SCHEDOP_shutdown, world.words(abi.SHUTDOWN_crash)]);
    const { reason, report } = await world.domain.exited;
    assert.equal(reason, 'crash');
    assert.equal(report!.rip, 0x1234);
    assert.equal(world.domain.state, 'crashed');
  });

  it('reports a shutdown for no known reason as a crash', async () => {
    const world = new TestWorld([handlers]);
    world.call(abi.__HYPERVISOR_sched_op_compat, [abi.SCHEDOP_shutdown, 0x400a17fc]);
    const { reason, report } = await world.domain.exited;
    assert.equal(reason, 'crash');
    assert.match(report!.reason, /code 252/);
  });

  it('shuts no other domain down', () => {
    const world = new TestWorld([handlers]);
    const other = world.addDomain([handlers]);
    const shutdown = (id: number) => world.call(OP, [abi.SCHEDOP_remote_shutdown, world.words(id, 0)]);
    assert.equal(shutdown(other.id), -abi.XEN_EPERM);
    assert.equal(shutdown(world.domain.id), -abi.XEN_EPERM);
    assert.equal(shutdown(99), -abi.XEN_ESRCH);
    assert.equal(other.live && world.domain.live, true);
    assert.equal(world.call(OP, [abi.SCHEDOP_pin_override, world.words(0)]), -abi.XEN_EPERM);
  });
});

describe('SCHEDOP_poll', () => {
  it('returns at once for a port that is pending', () => {
    const world = new TestWorld([handlers]);
    const quiet = world.channels.bindIpi(0);
    const port = world.channels.bindIpi(0);
    setUpcallMask(world.memory, world.vcpu, true);
    world.channels.send(port);
    assert.equal(poll(world, [quiet, port]), 0);
    assert.equal(world.vcpu.blocked, false);
    assert.equal(world.vcpu.pollPort, 0);
  });

  it('waits for the port even with upcalls masked', () => {
    const world = new TestWorld([handlers]);
    const port = world.channels.bindIpi(0);
    setUpcallMask(world.memory, world.vcpu, true);
    assert.equal(poll(world, [port]), 0);
    assert.equal(world.vcpu.blocked, true);
    assert.equal(world.vcpu.pollPort, port);
    world.channels.send(port);
    assert.equal(world.vcpu.blocked, false);
    assert.equal(world.vcpu.pollPort, 0);
  });

  it('returns at once when an upcall is due, whatever it would wait for', () => {
    const world = new TestWorld([handlers]);
    const quiet = world.channels.bindIpi(0);
    world.channels.send(world.channels.bindIpi(0));
    assert.equal(poll(world, [quiet]), 0);
    assert.deepEqual([world.vcpu.blocked, world.vcpu.pollPort], [false, 0]);
  });

  it('takes up to 128 ports', () => {
    const world = new TestWorld([handlers]);
    const port = world.channels.bindIpi(0);
    assert.equal(poll(world, new Array(128).fill(port)), 0);
    assert.deepEqual([world.vcpu.blocked, world.vcpu.pollPort], [true, -1]);
  });

  it('ends at its deadline, but a deadline left over from an earlier poll ends nothing', () => {
    const world = new TestWorld([handlers]);
    const port = world.channels.bindIpi(0);
    setUpcallMask(world.memory, world.vcpu, true);
    poll(world, [port], 5 * SECOND);
    world.pass(4 * SECOND);
    assert.equal(world.vcpu.blocked, true);
    world.pass(SECOND);
    assert.equal(world.vcpu.blocked, false);
    poll(world, [port], 7 * SECOND);
    world.vcpu.wake();
    world.call(OP, [abi.SCHEDOP_block, 0]);
    assert.equal(world.vcpu.blocked, true);
    world.pass(5 * SECOND);
    assert.equal(world.vcpu.blocked, true);
  });

  it('without a deadline, does not end at that of an earlier poll', () => {
    const world = new TestWorld([handlers]);
    const port = world.channels.bindIpi(0);
    setUpcallMask(world.memory, world.vcpu, true);
    poll(world, [port], 5 * SECOND);
    world.channels.send(port);
    world.memory.fill(world.domain.sharedInfo, 0, 4096);
    setUpcallMask(world.memory, world.vcpu, true);
    poll(world, [port]);
    world.pass(10 * SECOND);
    assert.equal(world.vcpu.blocked, true);
  });

  it('refuses too many ports and ports that are not in use', () => {
    const world = new TestWorld([handlers]);
    assert.equal(poll(world, [], 0, 129), -abi.XEN_EINVAL);
    assert.equal(poll(world, [9]), -abi.XEN_EINVAL);
    assert.equal(poll(world, [], 0, 0), 0);
    assert.ok(world.vcpu.blocked, 'no port at all waits for an upcall or the deadline');
    assert.equal(world.call(OP, [abi.SCHEDOP_poll, 0x10]), -abi.XEN_EFAULT);
  });
});

describe('SCHEDOP_watchdog', () => {
  const watchdog = (world: TestWorld, id: number, seconds: number) =>
    world.call(OP, [abi.SCHEDOP_watchdog, world.words(id, seconds)]);

  it('shuts the domain down unless it is fed', async () => {
    const world = new TestWorld([handlers]);
    assert.equal(watchdog(world, 0, 10), 1);
    world.pass(9 * SECOND);
    assert.equal(watchdog(world, 1, 10), 0);
    world.pass(9 * SECOND);
    assert.equal(world.domain.live, true);
    world.pass(SECOND);
    assert.deepEqual(await world.domain.exited, { reason: 'watchdog' });
  });

  it('waits for a domain no longer than that lives', () => {
    const world = new TestWorld([handlers]);
    watchdog(world, 0, 10);
    watchdog(world, 0, 20);
    world.domain.destroy();
    assert.equal(world.host.timers.nextNs, Number.POSITIVE_INFINITY);
  });

  it('offers two, which can be stopped and taken again', () => {
    const world = new TestWorld([handlers]);
    assert.equal(watchdog(world, 1, 10), -abi.XEN_EINVAL);
    assert.deepEqual([watchdog(world, 0, 10), watchdog(world, 0, 10)], [1, 2]);
    assert.equal(watchdog(world, 0, 10), -abi.XEN_ENOSPC);
    assert.equal(watchdog(world, 3, 10), -abi.XEN_EINVAL);
    assert.equal(watchdog(world, 1, 0), 0);
    assert.equal(watchdog(world, 2, 0), 0);
    world.pass(20 * SECOND);
    assert.equal(world.domain.live, true);
    assert.equal(watchdog(world, 0, 10), 1);
  });
});

describe('set_timer_op', () => {
  const ticks = (world: TestWorld) => {
    let count = 0;
    world.channels.onRaise = () => count++;
    world.channels.bindVirq(VIRQ_TIMER, 0);
    return () => count;
  };

  it('sends VIRQ_TIMER once, at its deadline', () => {
    const world = new TestWorld([handlers]);
    const count = ticks(world);
    assert.equal(world.call(abi.__HYPERVISOR_set_timer_op, [3 * SECOND]), 0);
    world.pass(3 * SECOND - 1);
    assert.equal(count(), 0);
    world.pass(1);
    assert.equal(count(), 1);
    world.pass(10 * SECOND);
    assert.equal(count(), 1);
  });

  it('is stopped by 0, and fires soon for a deadline in the past', () => {
    const world = new TestWorld([handlers]);
    const count = ticks(world);
    world.pass(SECOND);
    world.call(abi.__HYPERVISOR_set_timer_op, [2 * SECOND]);
    world.call(abi.__HYPERVISOR_set_timer_op, [0]);
    world.pass(5 * SECOND);
    assert.equal(count(), 0);
    world.call(abi.__HYPERVISOR_set_timer_op, [1]);
    world.pass(1);
    assert.equal(count(), 1);
  });

  it('takes a negative or absurd deadline as a wrapped one, and fires after 100 ms', () => {
    for (const deadline of [-5, 2 ** 50, 2 ** 51]) {
      const world = new TestWorld([handlers]);
      const count = ticks(world);
      world.call(abi.__HYPERVISOR_set_timer_op, [deadline]);
      world.pass(0.1 * SECOND - 1);
      assert.equal(count(), 0);
      world.pass(1);
      assert.equal(count(), 1);
    }
  });

  it('takes the deadline of a 32-bit guest from two registers', () => {
    const world = new TestWorld([handlers], { is64: false });
    const count = ticks(world);
    world.call(abi.__HYPERVISOR_set_timer_op, [5, 1]);
    world.pass(2 ** 32 + 4);
    assert.equal(count(), 0);
    world.pass(1);
    assert.equal(count(), 1);
  });
});
