import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WireClient } from './wire-client.ts';
import { Xenstored } from './xenstored.ts';

function setUp(quota = {}) {
  const xenstored = new Xenstored({ quota });
  const control = new WireClient(xenstored.connect());
  xenstored.createDomain(3);
  control.ask('MKDIR', ['/local/domain/3']);
  control.ask('SET_PERMS', ['/local/domain/3', 'n3']);
  const guest = new WireClient(xenstored.connect(3));
  for (const name of ['a', 'b']) guest.write(name, 'old');
  return { xenstored, control, guest };
}

const commit = (client: WireClient, id: number) => String(client.ask('TRANSACTION_END', ['T'], id));
const abort = (client: WireClient, id: number) => String(client.ask('TRANSACTION_END', ['F'], id));

describe('a transaction', () => {
  it('is seen by nobody else until it is committed, and then at once', () => {
    const { guest } = setUp();
    const id = guest.begin();
    guest.write('a', 'new', id);
    guest.write('c/d', 'new', id);
    assert.deepEqual(guest.ask('RM', ['b'], id), ['OK']);
    assert.equal(guest.read('a', id), 'new');
    assert.equal(guest.read('b', id), 'ENOENT');
    assert.deepEqual(guest.ask('DIRECTORY', ['/local/domain/3'], id), ['a', 'c']);
    assert.equal(guest.read('a'), 'old');
    assert.equal(guest.read('b'), 'old');
    assert.equal(guest.read('c'), 'ENOENT');
    assert.equal(commit(guest, id), 'OK');
    assert.equal(guest.read('a'), 'new');
    assert.equal(guest.read('c/d'), 'new');
    assert.equal(guest.read('b'), 'ENOENT');
  });

  it('leaves nothing behind when it is aborted', () => {
    const { guest, xenstored } = setUp();
    const id = guest.begin();
    guest.write('a', 'new', id);
    guest.write('c', 'new', id);
    assert.equal(abort(guest, id), 'OK');
    assert.equal(guest.read('a'), 'old');
    assert.equal(guest.read('c'), 'ENOENT');
    assert.deepEqual(xenstored.audit(), []);
  });

  it('is refused if something that it has read was written meanwhile', () => {
    const { guest, control } = setUp();
    const id = guest.begin();
    assert.equal(guest.read('a', id), 'old');
    guest.write('b', 'new', id);
    control.write('/local/domain/3/a', 'meanwhile');
    assert.equal(guest.read('a', id), 'old');
    assert.equal(commit(guest, id), 'EAGAIN');
    assert.equal(guest.read('b'), 'old');
    assert.equal(guest.read('a', id), 'ENOENT'); // the transaction is over
  });

  it('is refused if something that it has read was removed, or missed was created', () => {
    const { guest } = setUp();
    const removed = guest.begin();
    guest.read('a', removed);
    const created = guest.begin();
    assert.equal(guest.read('a/x', created), 'ENOENT');
    guest.ask('RM', ['a']);
    assert.equal(commit(guest, removed), 'EAGAIN');
    guest.write('a/x', '');
    assert.equal(commit(guest, created), 'EAGAIN');
  });

  it('is refused if something was removed and created anew', () => {
    const { guest } = setUp();
    const id = guest.begin();
    guest.read('a', id);
    guest.ask('RM', ['a']);
    guest.write('a', 'old');
    assert.equal(commit(guest, id), 'EAGAIN');
  });

  it('is refused if permissions of what it has read changed', () => {
    const { guest } = setUp();
    const id = guest.begin();
    guest.read('a', id);
    guest.ask('SET_PERMS', ['a', 'r3']);
    assert.equal(commit(guest, id), 'EAGAIN');
  });

  it('does not mind changes elsewhere', () => {
    const { guest, control } = setUp();
    const id = guest.begin();
    guest.write('a', 'new', id);
    guest.write('b', 'meanwhile');
    control.write('/elsewhere', 'x');
    assert.equal(commit(guest, id), 'OK');
    assert.equal(guest.read('a'), 'new');
    assert.equal(guest.read('b'), 'meanwhile');
  });

  it('loses against another that was committed first', () => {
    const { guest } = setUp();
    const [first, second] = [guest.begin(), guest.begin()];
    guest.read('a', first);
    guest.read('b', second);
    guest.write('b', '1', first);
    guest.write('a', '2', second);
    assert.equal(commit(guest, first), 'OK');
    assert.equal(commit(guest, second), 'EAGAIN');
    assert.equal(guest.read('b'), '1');
    assert.equal(guest.read('a'), 'old');
  });

  it('conflicts with another that adds a child to the same directory', () => {
    const { guest } = setUp();
    guest.write('dir', '');
    const [first, second] = [guest.begin(), guest.begin()];
    guest.write('dir/x', '', first);
    guest.write('dir/y', '', second);
    assert.equal(commit(guest, first), 'OK');
    assert.equal(commit(guest, second), 'EAGAIN');
    assert.deepEqual(guest.ask('DIRECTORY', ['dir']), ['x']);
  });

  it('may only read, and still tells whether what it saw was consistent', () => {
    const { guest } = setUp();
    const quiet = guest.begin();
    guest.read('a', quiet);
    assert.equal(commit(guest, quiet), 'OK');
    const disturbed = guest.begin();
    guest.read('a', disturbed);
    guest.write('a', 'x');
    guest.read('b', disturbed);
    assert.equal(commit(guest, disturbed), 'EAGAIN');
  });

  it('fires watches when it is committed, once for each node', () => {
    const { guest } = setUp();
    guest.ask('WATCH', ['/local/domain/3', 't']);
    guest.takeEvents();
    const id = guest.begin();
    guest.write('a', '1', id);
    guest.write('a', '2', id);
    guest.write('c/d', '3', id);
    guest.ask('RM', ['b'], id);
    assert.deepEqual(guest.takeEvents(), []);
    commit(guest, id);
    assert.deepEqual(guest.takeEvents(), [
      '/local/domain/3/a t',
      '/local/domain/3/c/d t',
      '/local/domain/3/b t',
    ]);
  });

  it('that writes and removes the same node tells everybody above of both', () => {
    const { guest } = setUp();
    guest.write('dir/sub/leaf', '');
    guest.ask('WATCH', ['dir', 't']);
    guest.takeEvents();
    const written = guest.begin();
    guest.write('dir/sub/leaf', 'x', written);
    guest.ask('RM', ['dir/sub'], written);
    commit(guest, written);
    assert.deepEqual(guest.takeEvents().sort(), ['dir/sub t', 'dir/sub/leaf t']);
    guest.write('dir/sub/leaf', '');
    guest.takeEvents();
    const removed = guest.begin();
    guest.ask('RM', ['dir/sub'], removed);
    guest.write('dir/sub/leaf', 'x', removed);
    commit(guest, removed);
    assert.deepEqual(guest.takeEvents().sort(), ['dir/sub t', 'dir/sub/leaf t']);
  });

  it('fires none when it is aborted or refused', () => {
    const { guest } = setUp();
    guest.ask('WATCH', ['b', 't']);
    guest.takeEvents();
    const aborted = guest.begin();
    guest.write('b', '1', aborted);
    abort(guest, aborted);
    const refused = guest.begin();
    guest.read('a', refused);
    guest.write('b', '1', refused);
    guest.write('a', 'x');
    commit(guest, refused);
    assert.deepEqual(guest.takeEvents(), []);
  });

  it('cannot be named by another connection, nor nested, nor ended twice', () => {
    const { guest, control } = setUp();
    const id = guest.begin();
    assert.equal(control.read('/tool', id), 'ENOENT');
    assert.equal(guest.ask('TRANSACTION_START', [''], id), 'EBUSY');
    assert.equal(guest.ask('TRANSACTION_END', ['X'], id), 'EINVAL');
    assert.equal(commit(guest, id), 'OK');
    assert.equal(commit(guest, id), 'ENOENT');
    assert.equal(commit(guest, 0), 'ENOENT');
  });

  it('is dropped with all others by RESET_WATCHES', () => {
    const { guest, control } = setUp();
    const id = guest.begin();
    guest.write('a', 'new', id);
    guest.ask('WATCH', ['a', 't']);
    guest.takeEvents();
    assert.deepEqual(guest.ask('RESET_WATCHES', ['']), ['OK']);
    assert.equal(commit(guest, id), 'ENOENT');
    control.write('/local/domain/3/a', 'x');
    assert.deepEqual(guest.takeEvents(), []);
  });

  it('removes what it created itself without a trace', () => {
    const { guest, xenstored } = setUp();
    const id = guest.begin();
    guest.write('x/y', '', id);
    guest.ask('RM', ['x'], id);
    assert.equal(commit(guest, id), 'OK');
    assert.deepEqual(guest.ask('DIRECTORY', ['/local/domain/3']), ['a', 'b']);
    assert.deepEqual(xenstored.audit(), []);
  });

  it('does not carry rights of a dead domain over to the next of its number', () => {
    const { control, xenstored } = setUp();
    control.write('/plain', '');
    const id = control.begin();
    control.ask('SET_PERMS', ['/plain', 'n0', 'r3'], id);
    xenstored.destroyDomain(3);
    xenstored.createDomain(3);
    assert.equal(commit(control, id), 'EAGAIN');
    assert.equal(new WireClient(xenstored.connect(3)).read('/plain'), 'EACCES');
  });
});

describe('the quotas of transactions', () => {
  it('limit how many are open', () => {
    const { guest, control } = setUp();
    const ids = Array.from({ length: 10 }, () => guest.begin());
    assert.equal(guest.ask('TRANSACTION_START', ['']), 'ENOSPC');
    abort(guest, ids[4]!);
    assert.deepEqual(guest.ask('TRANSACTION_START', ['']), ['11']);
    for (let i = 0; i < 20; i++) assert.ok(control.begin() > 0);
  });

  it('limit how many nodes one touches, after which it cannot be committed', () => {
    const { guest } = setUp({ transactionNodes: 4 });
    const id = guest.begin();
    for (const name of ['a', 'b', 'a/1']) guest.read(name, id);
    assert.equal(guest.read('a/1/2/3', id), 'ENOSPC');
    assert.equal(commit(guest, id), 'ENOMEM');
  });

  it('count the nodes that a commit would create', () => {
    const { guest, xenstored } = setUp({ nodes: 5 });
    const [first, second] = [guest.begin(), guest.begin()];
    guest.write('a/1', '', first);
    guest.write('b/1', '', second);
    guest.write('b/2', '', second);
    assert.equal(guest.write('b/3', '', second), 'ENOSPC');
    assert.equal(commit(guest, second), 'ENOMEM');
    const third = guest.begin();
    guest.write('b/1', '', third);
    guest.write('b/2', '', third);
    assert.equal(commit(guest, first), 'OK');
    assert.equal(commit(guest, third), 'ENOSPC');
    assert.deepEqual(guest.ask('DIRECTORY', ['b']), []);
    assert.deepEqual(xenstored.audit(), []);
  });

  it('count the names that one asks for, there or not', () => {
    const { guest } = setUp({ memory: 10000 });
    const id = guest.begin();
    const names = ['a', 'b', 'c', 'd', 'e'].map((name) => name.repeat(2000));
    const results = names.map((name) => guest.read(name, id));
    assert.deepEqual(results, ['ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOMEM']);
  });

  it('count copies that are no larger than what they replace', () => {
    const { guest } = setUp({ memory: 20000 });
    assert.equal(guest.write('a', 'x'.repeat(1990)), 'OK');
    const results = Array.from({ length: 10 }, () => guest.write('a', 'y'.repeat(1990), guest.begin()));
    assert.deepEqual([results[0], results[9]], ['OK', 'ENOMEM']);
  });

  it('count the bytes that open transactions hold', () => {
    const { guest, control } = setUp({ memory: 20000 });
    const memory = () => Number(/memory +: +(\d+)/.exec(String(control.ask('CONTROL', ['quota', '3'])))![1]);
    const before = memory();
    const ids = Array.from({ length: 10 }, () => guest.begin());
    const results = ids.map((id) => guest.write('a', 'x'.repeat(1990), id));
    assert.deepEqual([results[0], results[9]], ['OK', 'ENOMEM']);
    assert.equal(commit(guest, ids.pop()!), 'ENOMEM');
    assert.equal(guest.read('a'), 'old');
    assert.ok(memory() <= 20000 + 100);
    for (const id of ids) abort(guest, id);
    assert.equal(memory(), before);
  });
});
