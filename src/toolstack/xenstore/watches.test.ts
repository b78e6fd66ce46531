import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferPage } from '../shared-page.ts';
import { WireClient } from './wire-client.ts';
import { Xenstored } from './xenstored.ts';

function setUp(quota = {}) {
  const xenstored = new Xenstored({ quota });
  const control = new WireClient(xenstored.connect());
  for (const domid of [3, 4]) {
    xenstored.createDomain(domid);
    control.ask('MKDIR', [`/local/domain/${domid}`]);
    control.ask('SET_PERMS', [`/local/domain/${domid}`, `n${domid}`]);
  }
  const guest = new WireClient(xenstored.connect(3));
  const other = new WireClient(xenstored.connect(4));
  /** Sets a watch and forgets its first event. */
  const watch = (client: WireClient, ...payload: string[]) => {
    assert.deepEqual(client.ask('WATCH', payload), ['OK']);
    client.takeEvents();
  };
  return { xenstored, control, guest, other, watch };
}

describe('a watch', () => {
  it('fires once when it is set, on a path that need not exist', () => {
    const { guest } = setUp();
    assert.deepEqual(guest.ask('WATCH', ['nothing/here', 'token']), ['OK']);
    assert.deepEqual(guest.takeEvents(), ['nothing/here token']);
  });

  it('fires on creation, change, permissions and removal of its node and of all below', () => {
    const { guest, watch } = setUp();
    watch(guest, 'dir', 't');
    const events: string[][] = [];
    const step = (action: () => void) => {
      action();
      events.push(guest.takeEvents());
    };
    step(() => guest.write('dir', 'x'));
    step(() => guest.ask('MKDIR', ['dir/a/b']));
    step(() => guest.ask('MKDIR', ['dir/a/b']));
    step(() => guest.write('dir/a/b', 'y'));
    step(() => guest.ask('SET_PERMS', ['dir/a', 'n3', 'r4']));
    step(() => guest.ask('RM', ['dir/a']));
    step(() => guest.write('directory', 'not below'));
    assert.deepEqual(events, [['dir t'], ['dir/a/b t'], [], ['dir/a/b t'], ['dir/a t'], ['dir/a t'], []]);
  });

  it('reports paths the way it was set', () => {
    const { guest, watch } = setUp();
    watch(guest, 'dir', 'relative');
    watch(guest, '/local/domain/3/dir', 'absolute');
    guest.write('dir/x', '');
    assert.deepEqual(guest.takeEvents(), ['dir/x relative', '/local/domain/3/dir/x absolute']);
  });

  it('on a node inside a removed directory fires for that node', () => {
    const { guest, watch } = setUp();
    guest.write('a/b/c', '');
    watch(guest, 'a/b/c', 'deep');
    watch(guest, 'a', 'top');
    watch(guest, 'a/b/c/d', 'below');
    guest.ask('RM', ['a']);
    assert.deepEqual(guest.takeEvents(), ['a/b/c deep', 'a top']);
  });

  it('covers as many levels as its depth', () => {
    const { guest, watch } = setUp();
    watch(guest, 'dir', 'd0', '0');
    watch(guest, 'dir', 'd1', '1');
    guest.write('dir', '');
    assert.deepEqual(guest.takeEvents(), ['dir d0', 'dir d1']);
    guest.write('dir/a', '');
    assert.deepEqual(guest.takeEvents(), ['dir/a d1']);
    guest.write('dir/a/b', '');
    assert.deepEqual(guest.takeEvents(), []);
    assert.equal(guest.ask('WATCH', ['dir', 'x', '-1']), 'EINVAL');
  });

  it('is set and ended whatever transaction the messages name', () => {
    const { control } = setUp();
    assert.deepEqual(control.ask('WATCH', ['/a', 't'], 77), ['OK']);
    assert.deepEqual(control.ask('UNWATCH', ['/a', 't'], 77), ['OK']);
    assert.equal(control.read('/', 77), 'ENOENT');
  });

  it('may be on a special path of 2,048 bytes, and no longer one', () => {
    const { control } = setUp();
    assert.deepEqual(control.ask('WATCH', ['@'.padEnd(2048, 'x'), 't']), ['OK']);
    assert.equal(control.ask('WATCH', ['@'.padEnd(2049, 'x'), 't']), 'EINVAL');
  });

  it('ends with UNWATCH', () => {
    const { guest, watch } = setUp();
    watch(guest, 'a', 't');
    assert.equal(guest.ask('UNWATCH', ['a', 'other']), 'ENOENT');
    assert.equal(guest.ask('UNWATCH', ['a']), 'EINVAL');
    assert.deepEqual(guest.ask('UNWATCH', ['/local/domain/3/a', 't']), ['OK']);
    assert.equal(guest.ask('UNWATCH', ['a', 't']), 'ENOENT');
    guest.write('a', '');
    assert.deepEqual(guest.takeEvents(), []);
  });

  it('cannot be set twice, nor on an illegal path', () => {
    const { guest, watch } = setUp();
    watch(guest, 'a', 't');
    assert.equal(guest.ask('WATCH', ['a', 't']), 'EEXIST');
    assert.equal(guest.ask('WATCH', ['/local/domain/3/a', 't']), 'EEXIST');
    watch(guest, 'a', 't2');
    assert.equal(guest.ask('WATCH', ['a//b', 't']), 'EINVAL');
    assert.equal(guest.ask('WATCH', ['', 't']), 'EINVAL');
    assert.equal(guest.ask('WATCH', ['b']), 'EINVAL');
    assert.equal(guest.ask('WATCH', [`@${'x'.repeat(2048)}`, 't']), 'EINVAL');
  });

  it('on the root hears of everything that its owner may read', () => {
    const { control, guest, watch } = setUp();
    watch(control, '/', 't');
    watch(guest, '/', 't');
    guest.write('x', '');
    control.write('/private', '');
    assert.deepEqual(control.takeEvents(), ['/local/domain/3/x t', '/private t']);
    assert.deepEqual(guest.takeEvents(), ['/local/domain/3/x t']);
  });

  it('tells a guest nothing of nodes that it may not read', () => {
    const { guest, other, watch } = setUp();
    watch(guest, '/local/domain/4', 't');
    other.write('secret', 'x');
    other.ask('RM', ['secret']);
    assert.deepEqual(guest.takeEvents(), []);
    other.write('open', 'x');
    other.ask('SET_PERMS', ['open', 'n4', 'r3']);
    other.write('open', 'y');
    assert.deepEqual(guest.takeEvents(), ['/local/domain/4/open t', '/local/domain/4/open t']);
  });

  it('tells a guest of any node whose parent it may list', () => {
    const { guest, other, watch } = setUp();
    other.write('dir/secret', 'x');
    other.ask('SET_PERMS', ['dir', 'n4', 'r3']);
    watch(guest, '/local/domain/4/dir', 't');
    other.write('dir/secret', 'y');
    assert.equal(guest.read('/local/domain/4/dir/secret'), 'EACCES');
    assert.deepEqual(guest.takeEvents(), ['/local/domain/4/dir/secret t']);
  });

  it('tells a guest that it has lost the right to read, or that a readable node is gone', () => {
    const { guest, other, watch } = setUp();
    for (const name of ['a', 'b']) {
      other.write(name, 'x');
      other.ask('SET_PERMS', [name, 'n4', 'r3']);
    }
    watch(guest, '/local/domain/4', 't');
    other.ask('SET_PERMS', ['a', 'n4']);
    other.ask('RM', ['b']);
    assert.deepEqual(guest.takeEvents(), ['/local/domain/4/a t', '/local/domain/4/b t']);
  });
});

describe('the special watches', () => {
  const carrier = () => ({ page: new BufferPage(), notify: () => {} });

  it('tell the control domain of domains that come, shut down and go', () => {
    const { control, xenstored, watch } = setUp();
    watch(control, '@introduceDomain', 'i');
    watch(control, '@releaseDomain', 'r');
    xenstored.introduce(3, carrier());
    xenstored.introduce(3, carrier());
    assert.deepEqual(control.takeEvents(), ['@introduceDomain i']);
    xenstored.domainShutdown(3);
    xenstored.domainShutdown(3);
    assert.deepEqual(control.takeEvents(), ['@releaseDomain r']);
    assert.deepEqual(control.ask('RESUME', ['3']), ['OK']);
    xenstored.domainShutdown(3);
    xenstored.destroyDomain(3);
    assert.deepEqual(control.takeEvents(), ['@releaseDomain r', '@releaseDomain r']);
  });

  it('name the domain for depth 1, and can be set for one domain', () => {
    const { control, xenstored, watch } = setUp();
    watch(control, '@releaseDomain', 'each', '1');
    watch(control, '@releaseDomain/4', 'four');
    for (const domid of [3, 4]) xenstored.introduce(domid, carrier());
    for (const domid of [3, 4]) xenstored.destroyDomain(domid);
    assert.deepEqual(control.takeEvents(), [
      '@releaseDomain/3 each',
      '@releaseDomain/4 each',
      '@releaseDomain/4 four',
    ]);
  });

  it('reach a guest only with permission', () => {
    const { control, guest, other, xenstored, watch } = setUp();
    for (const client of [guest, other]) watch(client, '@releaseDomain', 'r');
    assert.equal(guest.ask('SET_PERMS', ['@releaseDomain', 'n0', 'r3']), 'EACCES');
    assert.equal(control.ask('SET_PERMS', ['@other', 'n0']), 'EINVAL');
    assert.deepEqual(control.ask('SET_PERMS', ['@releaseDomain', 'n0', 'r3']), ['OK']);
    xenstored.createDomain(9);
    xenstored.introduce(9, carrier());
    xenstored.destroyDomain(9);
    assert.deepEqual(guest.takeEvents(), ['@releaseDomain r']);
    assert.deepEqual(other.takeEvents(), []);
  });

  it('do not reach a guest by the permission of one of its number that is gone', () => {
    const { control, xenstored, watch } = setUp();
    assert.deepEqual(control.ask('SET_PERMS', ['@releaseDomain', 'n0', 'r3']), ['OK']);
    xenstored.destroyDomain(3);
    xenstored.createDomain(3);
    const successor = new WireClient(xenstored.connect(3));
    watch(successor, '@releaseDomain', 'r');
    xenstored.introduce(4, carrier());
    xenstored.destroyDomain(4);
    assert.deepEqual(successor.takeEvents(), []);
  });

  it('say nothing of a domain that goes without ever having come', () => {
    const { control, xenstored, watch } = setUp();
    watch(control, '@releaseDomain', 'r');
    xenstored.domainShutdown(3);
    xenstored.destroyDomain(3);
    assert.deepEqual(control.takeEvents(), []);
  });

  it('tell of each domain, though two events that wait read alike', () => {
    const { control, xenstored, watch } = setUp();
    watch(control, '@releaseDomain', 'r');
    for (const domid of [3, 4]) xenstored.introduce(domid, carrier());
    const { onOutput } = control.connection;
    control.connection.onOutput = () => {};
    for (const domid of [3, 4]) xenstored.destroyDomain(domid);
    control.connection.onOutput = onOutput;
    control.connection.resumeOutput();
    assert.deepEqual(control.takeEvents(), ['@releaseDomain r', '@releaseDomain r']);
  });
});

describe('the quotas of watches', () => {
  it('limit how many a guest sets, not the control domain', () => {
    const { guest, control } = setUp();
    for (let i = 0; i < 128; i++) assert.deepEqual(guest.ask('WATCH', ['a', `${i}`]), ['OK']);
    assert.equal(guest.ask('WATCH', ['a', 'more']), 'E2BIG');
    guest.ask('UNWATCH', ['a', '5']);
    assert.deepEqual(guest.ask('WATCH', ['a', 'more']), ['OK']);
    for (let i = 0; i < 200; i++) assert.deepEqual(control.ask('WATCH', ['/a', `${i}`]), ['OK']);
  });

  it('count the bytes of paths and tokens', () => {
    const { guest } = setUp({ memory: 10000 });
    const token = 't'.repeat(3000);
    const results = ['a', 'b', 'c', 'd'].map((name) => String(guest.ask('WATCH', [name, token])));
    assert.deepEqual(results, ['OK', 'OK', 'OK', 'ENOMEM']);
  });
});
