import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as abi from '../../abi/xen/numbers/index.ts';
import { evtchn_op, evtchn_status } from '../../abi/xen/structures/event_channel.ts';
import { isPending } from '../events/index.ts';
import { handlers } from './event-channel.ts';
import { TestWorld, WINDOW } from './test-world.ts';

const OP = abi.__HYPERVISOR_event_channel_op;

function issue(world: TestWorld, command: number, ...words: number[]): number {
  return world.call(OP, [command, world.words(...words)]);
}
function word(world: TestWorld, index: number): number {
  return world.vcpu.guest.readU32(WINDOW + index * 4);
}

describe('event_channel_op', () => {
  it('binds, sends and closes, and writes new ports into the argument', () => {
    const world = new TestWorld([handlers]);
    assert.equal(issue(world, abi.EVTCHNOP_bind_ipi, 1, 0), 0);
    const port = word(world, 1);
    assert.equal(port, 1);
    assert.equal(issue(world, abi.EVTCHNOP_send, port), 0);
    assert.equal(isPending(world.memory, world.domain, port), true);
    assert.equal(issue(world, abi.EVTCHNOP_close, port), 0);
    assert.equal(issue(world, abi.EVTCHNOP_send, port), -abi.XEN_EINVAL);
    assert.equal(issue(world, abi.EVTCHNOP_bind_virq, abi.VIRQ_TIMER, 0, 0), 0);
    assert.equal(word(world, 2), 1);
    assert.equal(issue(world, abi.EVTCHNOP_bind_pirq, 1, 0, 0), -abi.XEN_EPERM);
  });

  it('answers status with the member of the union that the status selects', () => {
    const world = new TestWorld([handlers]);
    const { size, offset } = evtchn_status.x64;
    const status = (port: number) => {
      assert.equal(
        issue(world, abi.EVTCHNOP_status, abi.DOMID_SELF, port, ...new Array(size / 4 - 2).fill(0)),
        0,
      );
      return [word(world, offset.status / 4), word(world, offset.vcpu / 4), word(world, offset.u / 4)];
    };
    issue(world, abi.EVTCHNOP_bind_virq, abi.VIRQ_DEBUG, 1, 0);
    assert.deepEqual(status(1), [abi.EVTCHNSTAT_virq, 1, abi.VIRQ_DEBUG]);
    issue(world, abi.EVTCHNOP_alloc_unbound, abi.DOMID_SELF | (77 << 16), 0);
    assert.deepEqual(status(2), [abi.EVTCHNSTAT_unbound, 0, 77]);
    assert.deepEqual(status(3), [abi.EVTCHNSTAT_closed, 0, 0]);
    world.channels.bindHost(world.channels.allocUnbound(0), () => {});
    assert.deepEqual(status(3), [abi.EVTCHNSTAT_interdomain, 0, 0]);
    assert.equal(issue(world, abi.EVTCHNOP_status, abi.DOMID_SELF, 4000, 0, 0, 0, 0), -abi.XEN_EINVAL);
  });

  it('joins two ports of one domain by DOMID_SELF', () => {
    const world = new TestWorld([handlers]);
    issue(world, abi.EVTCHNOP_alloc_unbound, abi.DOMID_SELF | (abi.DOMID_SELF << 16), 0);
    assert.equal(word(world, 1), 1);
    assert.equal(issue(world, abi.EVTCHNOP_bind_interdomain, abi.DOMID_SELF, 1, 0), 0);
    assert.equal(word(world, 2), 2);
    issue(world, abi.EVTCHNOP_send, 2);
    assert.equal(isPending(world.memory, world.domain, 1), true);
    assert.equal(issue(world, abi.EVTCHNOP_status, abi.DOMID_SELF, 2, 0, 0, 0, 0), 0);
    const { u_interdomain_dom, u_interdomain_port } = evtchn_status.x64.offset;
    assert.equal(world.vcpu.guest.read16(WINDOW + u_interdomain_dom), world.domain.id);
    assert.equal(word(world, u_interdomain_port / 4), 1);
  });

  it('lets no domain act on another', () => {
    const world = new TestWorld([handlers]);
    const other = world.addDomain([handlers]);
    for (const command of [abi.EVTCHNOP_alloc_unbound, abi.EVTCHNOP_status, abi.EVTCHNOP_reset]) {
      assert.equal(issue(world, command, other.id, 1, 0, 0, 0, 0), -abi.XEN_EPERM);
      assert.equal(issue(world, command, 0, 1, 0, 0, 0, 0), -abi.XEN_EPERM);
      assert.equal(issue(world, command, 99, 1, 0, 0, 0, 0), -abi.XEN_ESRCH);
    }
    assert.equal(issue(world, abi.EVTCHNOP_reset, abi.DOMID_SELF), 0);
  });

  it('has no FIFO ports, so a kernel keeps to the two-level ones', () => {
    const world = new TestWorld([handlers]);
    assert.equal(issue(world, abi.EVTCHNOP_init_control, 0, 0, 0, 0, 0, 0), -abi.XEN_ENOSYS);
    assert.equal(issue(world, abi.EVTCHNOP_expand_array, 0, 0), -abi.XEN_ENOSYS);
    assert.equal(issue(world, abi.EVTCHNOP_set_priority, 1, 0), -abi.XEN_ENOSYS);
    assert.equal(issue(world, 77), -abi.XEN_ENOSYS);
  });

  it('returns -EFAULT for an argument that cannot be read, or where the answer cannot be written', () => {
    const world = new TestWorld([handlers]);
    for (let command = 0; command <= 13; command++) {
      assert.equal(world.call(OP, [command, 0x10]), -abi.XEN_EFAULT, `command ${command}`);
    }
    const readOnly = WINDOW + 7 * 4096;
    assert.equal(world.call(OP, [abi.EVTCHNOP_bind_ipi, readOnly]), -abi.XEN_EFAULT);
  });

  it('serves the old form, up to unmask', () => {
    const world = new TestWorld([handlers]);
    const old = abi.__HYPERVISOR_event_channel_op_compat;
    const at = WINDOW;
    const u = evtchn_op.x64.offset.u / 4;
    world.words(...new Array(evtchn_op.x64.size / 4).fill(0));
    world.vcpu.guest.write32(at, abi.EVTCHNOP_bind_ipi);
    world.vcpu.guest.write32(at + u * 4, 1);
    assert.equal(world.call(old, [at]), 0);
    assert.equal(word(world, u + 1), 1);
    world.vcpu.guest.write32(at, abi.EVTCHNOP_reset);
    assert.equal(world.call(old, [at]), -abi.XEN_ENOSYS);
  });
});
