import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Access, accessOf, formatPermissions, parsePermissions, withoutDomain } from './permissions.ts';

const ALL = Access.READ | Access.WRITE | Access.OWNER;
const guest = (domid: number, target: number | null = null) => ({ domid, privileged: false, target });

describe('permissions', () => {
  it('give everything to the owner and to the control domain', () => {
    const list = parsePermissions(['n3']);
    assert.equal(accessOf(guest(3), list), ALL);
    assert.equal(accessOf({ domid: 0, privileged: true, target: null }, list), ALL);
    assert.equal(accessOf(guest(4), list), Access.NONE);
  });

  it("give others what their entry says, else what the owner's letter says", () => {
    const list = parsePermissions(['r3', 'w4', 'b5', 'n6']);
    assert.equal(accessOf(guest(4), list), Access.WRITE);
    assert.equal(accessOf(guest(5), list), Access.READ | Access.WRITE);
    assert.equal(accessOf(guest(6), list), Access.NONE);
    assert.equal(accessOf(guest(7), list), Access.READ);
  });

  it('give a domain what its target has', () => {
    const list = parsePermissions(['n3', 'r4']);
    assert.equal(accessOf(guest(9, 3), list), ALL);
    assert.equal(accessOf(guest(9, 4), list), Access.READ);
  });

  it('are read and written as text', () => {
    const texts = ['n0', 'r1', 'w2', 'b65535'];
    assert.deepEqual(formatPermissions(parsePermissions(texts)), texts);
    assert.deepEqual(formatPermissions(parsePermissions(['r0x10'])), ['r16']);
    for (const text of ['', 'x1', 'r', 'r-1', 'r65536', 'r1 ', 'rr1']) {
      assert.throws(() => parsePermissions([text]), /EINVAL/, text);
    }
    assert.throws(() => parsePermissions([]), /EINVAL/);
  });

  it('mean nobody any more once the domain is dead', () => {
    const list = withoutDomain(parsePermissions(['n0', 'r4', 'r5']), 4);
    assert.equal(accessOf(guest(4), list), Access.NONE);
    assert.equal(accessOf(guest(5), list), Access.READ);
    assert.equal(accessOf(guest(4), withoutDomain(parsePermissions(['n4']), 4)), Access.NONE);
  });
});
