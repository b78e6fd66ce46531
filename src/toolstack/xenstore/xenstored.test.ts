import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferPage } from '../shared-page.ts';
import { RingOffset } from './ring.ts';
import { encodeMessage, encodeStrings, MessageType } from './wire.ts';
import { WireClient } from './wire-client.ts';
import { Xenstored } from './xenstored.ts';

const carrier = () => ({ page: new BufferPage(), notify: () => {} });

/** A daemon with an introduced domain 3 that owns its directory. */
function setUp() {
  const xenstored = new Xenstored();
  const control = xenstored.client();
  xenstored.createDomain(3);
  control.mkdir('/local/domain/3');
  control.setPermissions('/local/domain/3', ['n3']);
  xenstored.introduce(3, carrier());
  return { xenstored, control };
}

describe('the death of a domain', () => {
  it('removes all that the domain owned, and tells those who watch it', () => {
    const { xenstored, control } = setUp();
    const guest = xenstored.client(3);
    control.write('/shared', '');
    control.setPermissions('/shared', ['n0', 'b3']);
    guest.write('/shared/of-the-guest/deep', 'x');
    control.write('/shared/other', '');
    guest.write('a/b', '');
    const seen: string[] = [];
    control.watch('/shared', (path) => seen.push(path));
    xenstored.destroyDomain(3);
    assert.deepEqual(seen, ['/shared', '/shared/of-the-guest']);
    assert.deepEqual(control.directory('/shared'), ['other']);
    assert.equal(control.findText('/local/domain/3'), undefined);
    assert.deepEqual(xenstored.audit(), []);
  });

  it('leaves the next domain of its number without its rights, watches and quotas', () => {
    const { xenstored, control } = setUp();
    control.write('/secret', 'x');
    control.setPermissions('/secret', ['n0', 'r3']);
    assert.equal(xenstored.client(3).readText('/secret'), 'x');
    const heard: string[] = [];
    xenstored.client(3).watch('/secret', (path) => heard.push(path));
    xenstored.client(3).begin();
    xenstored.destroyDomain(3);
    control.setPermissions('/secret', ['r0']);
    control.write('/secret', 'y');
    assert.deepEqual(heard, ['/secret']); // the one at the start
    control.setPermissions('/secret', ['n0']);
    xenstored.createDomain(3);
    assert.throws(() => xenstored.client(3).readText('/secret'), /EACCES/);
    assert.deepEqual(
      { ...xenstored.accountOf(3)! },
      { nodes: 0, watches: 0, transactions: 0, outstanding: 0, memory: 0 },
    );
  });

  it('ends its ring: nothing is read or written any more', () => {
    const { xenstored, control } = setUp();
    const { page, notify } = carrier();
    xenstored.introduce(3, { page, notify });
    xenstored.destroyDomain(3);
    page.write32(RingOffset.REQ_PROD, 16);
    const before = page.bytes.slice();
    xenstored.poll(3);
    control.write('/local/domain/3/x', '');
    assert.deepEqual(page.bytes, before);
  });

  it('does nothing for a domain that is not there, and never touches the control domain', () => {
    const { xenstored, control } = setUp();
    xenstored.destroyDomain(99);
    xenstored.destroyDomain(0);
    xenstored.domainShutdown(99);
    assert.deepEqual(control.directory('/'), ['tool', 'local']);
  });

  it('inside a callback that hears of its shutdown is in order', () => {
    const { xenstored, control } = setUp();
    let down = false;
    control.watch('@releaseDomain', () => {
      if (down) xenstored.destroyDomain(3);
    });
    down = true;
    xenstored.domainShutdown(3);
    assert.equal(xenstored.domainExists(3), false);
  });

  it('caused by its own request leaves the daemon sound', () => {
    const { xenstored, control } = setUp();
    const { page, notify } = carrier();
    xenstored.introduce(3, { page, notify });
    let armed = false;
    control.watch('/local/domain/3/die', () => armed && xenstored.destroyDomain(3));
    armed = true;
    const request = {
      type: MessageType.WRITE,
      requestId: 1,
      transactionId: 0,
      payload: encodeStrings(['die', 'x']),
    };
    const bytes = encodeMessage(request);
    page.writeBytes(0, new Uint8Array([...bytes, ...bytes]));
    page.write32(RingOffset.REQ_PROD, 2 * bytes.length);
    xenstored.poll(3);
    assert.equal(xenstored.domainExists(3), false);
    assert.equal(control.findText('/local/domain/3'), undefined);
    assert.deepEqual(xenstored.audit(), []);
  });
});

describe('a request', () => {
  it('is finished before anybody hears of it, even with a socket among the listeners', () => {
    const { xenstored, control } = setUp();
    for (const name of ['a', 'b', 'c']) control.write(`/dir/${name}`, '');
    const socket = new WireClient(xenstored.connect());
    socket.ask('WATCH', ['/dir', 't']);
    socket.ask('WATCH', ['/dir/a', 't']);
    let armed = false;
    control.watch('/dir/a', () => {
      if (armed) control.write('/dir/a/again', 'x');
      armed = false;
    });
    armed = true;
    socket.takeEvents();
    assert.deepEqual(socket.ask('RM', ['/dir']), ['OK']);
    assert.deepEqual(control.directory('/dir'), ['a']);
    assert.deepEqual(xenstored.audit(), []);
    assert.equal(control.readText('/dir/a/again'), 'x');
  });
});

describe('a new introduction', () => {
  it('by a callback in the middle of a ring of requests starts the ring anew', () => {
    const { xenstored, control } = setUp();
    const page = new BufferPage();
    const notify = () => {};
    xenstored.introduce(3, { page, notify });
    let armed = false;
    control.watch('/local/domain/3/again', () => {
      if (armed) xenstored.introduce(3, { page, notify });
    });
    armed = true;
    const request = {
      type: MessageType.WRITE,
      requestId: 1,
      transactionId: 0,
      payload: encodeStrings(['again', 'x']),
    };
    const bytes = encodeMessage(request);
    page.writeBytes(0, bytes);
    page.write32(RingOffset.REQ_PROD, bytes.length);
    xenstored.poll(3);
    assert.equal(page.read32(RingOffset.REQ_CONS), 0);
    assert.equal(page.read32(RingOffset.REQ_PROD), 0);
    assert.equal(page.read32(RingOffset.RSP_PROD), 0);
  });
});

describe('a connection over a stream', () => {
  it('that breaks the protocol is told so and drops the rest', () => {
    const { xenstored } = setUp();
    const connection = xenstored.connect();
    let fault = 0;
    connection.onFault = (value) => {
      fault = value;
    };
    const bytes = new Uint8Array(100);
    bytes.fill(0xff);
    connection.receive(bytes);
    assert.equal(fault, 3);
    assert.equal(connection.receive(bytes), 0);
    assert.equal(connection.isOpen, false);
  });

  it('is not read from while its answers hold more than its domain may', () => {
    const { xenstored, control } = setUp();
    control.write('/large', 'x'.repeat(2000));
    control.setPermissions('/large', ['r0']);
    xenstored.quota.memory = 5000;
    const connection = xenstored.connect(3);
    const read = encodeMessage({
      type: MessageType.READ,
      requestId: 1,
      transactionId: 0,
      payload: encodeStrings(['/large']),
    });
    const requests = new Uint8Array([...read, ...read, ...read, ...read]);
    const taken = connection.receive(requests);
    assert.equal(taken, 3 * read.length);
    let resumed = 0;
    connection.onInput = () => {
      resumed = connection.receive(requests.subarray(taken));
    };
    const buffer = new Uint8Array(4096);
    connection.onOutput = () => connection.pull(buffer);
    connection.resumeOutput();
    assert.equal(resumed, read.length);
  });

  it('that is closed leaves no watch and no transaction', () => {
    const { xenstored, control } = setUp();
    const client = new WireClient(xenstored.connect());
    client.ask('WATCH', ['/a', 't']);
    client.write('/b', 'x', client.begin());
    client.connection.close();
    client.connection.close();
    client.takeEvents();
    control.write('/a', '');
    assert.deepEqual(client.takeEvents(), []);
    const { watches, transactions } = xenstored.accountOf(0)!;
    assert.deepEqual({ watches, transactions }, { watches: 0, transactions: 0 });
  });

  it('numbers its answers as the requests, in their order', () => {
    const { xenstored } = setUp();
    const client = new WireClient(xenstored.connect());
    const read = (requestId: number) =>
      encodeMessage({
        type: MessageType.READ,
        requestId,
        transactionId: 0,
        payload: encodeStrings(['/tool']),
      });
    client.connection.receive(new Uint8Array([...read(8), ...read(0xffffffff), ...read(1)]));
    assert.deepEqual(
      client.answers.map((answer) => answer.requestId),
      [8, 0xffffffff, 1],
    );
  });
});
