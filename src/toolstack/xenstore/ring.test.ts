import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferPage } from '../shared-page.ts';
import { ConnectionFault } from './connection.ts';
import { RING_BYTES, RingOffset } from './ring.ts';
import {
  bytesToText,
  decodeStrings,
  encodeMessage,
  encodeStrings,
  type Message,
  MessageReader,
  MessageType,
} from './wire.ts';
import { Xenstored } from './xenstored.ts';

/** A guest's driver: puts requests into the ring as far as they fit and takes answers out of it. */
class Driver {
  readonly page = new BufferPage();
  readonly messages: Message[] = [];
  kicks = 0;
  private readonly reader = new MessageReader();
  private outgoing: number[] = [];
  private lastRequest = 0;

  send(name: keyof typeof MessageType, ...strings: string[]): number {
    const requestId = ++this.lastRequest;
    const type = MessageType[name];
    this.outgoing.push(
      ...encodeMessage({ type, requestId, transactionId: 0, payload: encodeStrings(strings) }),
    );
    return requestId;
  }

  sendRaw(bytes: Uint8Array): void {
    this.outgoing.push(...bytes);
  }

  /** Moves what fits into the request ring; gives how much is left. */
  put(): number {
    const { page } = this;
    const consumer = page.read32(RingOffset.REQ_CONS);
    let producer = page.read32(RingOffset.REQ_PROD);
    while (this.outgoing.length > 0 && (producer - consumer) >>> 0 < RING_BYTES) {
      page.bytes[RingOffset.REQ + (producer % RING_BYTES)] = this.outgoing.shift()!;
      producer = (producer + 1) >>> 0;
    }
    page.write32(RingOffset.REQ_PROD, producer);
    return this.outgoing.length;
  }

  /** Takes all there is out of the response ring. */
  take(): void {
    const { page } = this;
    const producer = page.read32(RingOffset.RSP_PROD);
    let consumer = page.read32(RingOffset.RSP_CONS);
    while (consumer !== producer) {
      this.reader.take(page.bytes.subarray(RingOffset.RSP + (consumer % RING_BYTES)).subarray(0, 1));
      if (this.reader.message) this.messages.push(this.reader.message);
      consumer = (consumer + 1) >>> 0;
    }
    page.write32(RingOffset.RSP_CONS, consumer);
  }

  texts(): string[] {
    return this.messages.map(
      (message) => decodeStrings(message.payload).join(' ') || bytesToText(message.payload),
    );
  }
}

function setUp(domids: readonly number[] = [3]) {
  const xenstored = new Xenstored();
  const control = xenstored.client();
  const drivers = domids.map((domid) => {
    const driver = new Driver();
    xenstored.createDomain(domid);
    control.mkdir(`/local/domain/${domid}`);
    control.setPermissions(`/local/domain/${domid}`, [`n${domid}`]);
    xenstored.introduce(domid, { page: driver.page, notify: () => driver.kicks++ });
    return driver;
  });
  const driver = drivers[0]!;
  /** Kicks until all requests are in and all answers are out. */
  const run = (domid = domids[0]!, which = driver) => {
    for (let round = 0; round < 1000; round++) {
      const left = which.put();
      xenstored.poll(domid);
      which.take();
      if (left === 0 && which.page.read32(RingOffset.REQ_CONS) === which.page.read32(RingOffset.REQ_PROD)) {
        xenstored.poll(domid);
        which.take();
        return;
      }
    }
    throw new Error('the ring does not come to rest');
  };
  return { xenstored, control, driver, drivers, run };
}

const word = (driver: Driver, offset: number) => driver.page.read32(offset);

describe('the ring', () => {
  it('is empty, connected and says what it can do after the introduction', () => {
    const { driver } = setUp();
    assert.deepEqual(
      [2048, 2052, 2056, 2060, 2064, 2068, 2072].map((offset) => word(driver, offset)),
      [0, 0, 0, 0, 7, 0, 0],
    );
  });

  it('carries a request and its answer, and kicks the guest', () => {
    const { driver, run } = setUp();
    driver.send('WRITE', 'a', '');
    run();
    driver.send('READ', 'a');
    run();
    assert.deepEqual(driver.texts(), ['OK', '\0']);
    assert.ok(driver.kicks >= 2);
    assert.deepEqual(
      driver.messages.map((message) => message.requestId),
      [1, 2],
    );
  });

  it('carries messages longer than itself, across its end and the end of the index', () => {
    const { driver, run, control } = setUp();
    for (const offset of [
      RingOffset.REQ_CONS,
      RingOffset.REQ_PROD,
      RingOffset.RSP_CONS,
      RingOffset.RSP_PROD,
    ]) {
      driver.page.write32(offset, 0xfffffd80);
    }
    const value = 'value'.repeat(390);
    for (let i = 0; i < 5; i++) {
      driver.send('WRITE', `key${i}`, value);
      driver.send('READ', `key${i}`);
    }
    run();
    assert.equal(control.readText('/local/domain/3/key4'), `${value}\0`);
    assert.deepEqual(driver.texts(), Array.from({ length: 5 }, () => ['OK', value]).flat());
    assert.ok(word(driver, RingOffset.RSP_PROD) < 0x10000);
  });

  it('brings watch events without being asked', () => {
    const { driver, run, control } = setUp();
    driver.send('WATCH', 'control/shutdown', 'tok');
    run();
    const { kicks } = driver;
    control.write('/local/domain/3/control/shutdown', 'poweroff');
    assert.equal(driver.kicks, kicks + 1);
    driver.take();
    assert.deepEqual(driver.texts(), ['OK', 'control/shutdown tok', 'control/shutdown tok']);
  });

  it('of a domain that acts for another has the rights of the other, until that dies', () => {
    const { driver, run, control, xenstored } = setUp([3, 4]);
    control.write('/local/domain/4/secret', 'x');
    const readOnce = () => {
      driver.send('READ', '/local/domain/4/secret');
      run();
      return driver.texts().at(-1);
    };
    assert.equal(readOnce(), 'EACCES');
    xenstored.setTarget(3, 4);
    assert.equal(readOnce(), 'x');
    xenstored.destroyDomain(4);
    xenstored.createDomain(4);
    control.write('/local/domain/4/secret', 'y');
    control.setPermissions('/local/domain/4/secret', ['n4']);
    assert.equal(readOnce(), 'EACCES');
  });

  it('kicks nobody when there is nothing to do', () => {
    const { driver, xenstored } = setUp();
    xenstored.poll(3);
    xenstored.poll(99);
    assert.equal(driver.kicks, 0);
  });
});

describe('a guest that lies', () => {
  it('about the request indices loses its connection and nothing else', () => {
    for (const [consumer, producer] of [
      [0, RING_BYTES + 1],
      [5, 4],
      [0, 0x80000000],
      [0xffffffff, RING_BYTES],
    ] as const) {
      const { drivers, driver, xenstored, run } = setUp([3, 4]);
      driver.page.write32(RingOffset.REQ_CONS, consumer);
      driver.page.write32(RingOffset.REQ_PROD, producer);
      const before = driver.page.bytes.slice();
      xenstored.poll(3);
      before[RingOffset.ERROR] = ConnectionFault.RINGIDX;
      assert.deepEqual(driver.page.bytes, before);
      drivers[1]!.send('WRITE', 'a', '');
      run(4, drivers[1]!);
      assert.deepEqual(drivers[1]!.texts(), ['OK']);
      assert.equal(xenstored.isIntroduced(3), true);
    }
  });

  it('about the response indices loses its connection, its watches and its transactions', () => {
    const { driver, xenstored, control, run } = setUp();
    driver.send('WATCH', 'a', 't');
    driver.send('TRANSACTION_START', '');
    run();
    assert.equal(xenstored.accountOf(3)!.watches, 1);
    driver.page.write32(RingOffset.RSP_CONS, word(driver, RingOffset.RSP_PROD) + 1);
    control.write('/local/domain/3/a', 'x');
    assert.equal(word(driver, RingOffset.ERROR), ConnectionFault.RINGIDX);
    const { watches, transactions, outstanding } = xenstored.accountOf(3)!;
    assert.deepEqual({ watches, transactions, outstanding }, { watches: 0, transactions: 0, outstanding: 0 });
    driver.page.write32(RingOffset.RSP_CONS, word(driver, RingOffset.RSP_PROD));
    driver.send('READ', 'a');
    driver.put();
    const before = driver.page.bytes.slice();
    xenstored.poll(3);
    assert.deepEqual(driver.page.bytes, before);
  });

  it('about the length of a payload loses its connection', () => {
    const { driver, xenstored } = setUp();
    const header = encodeMessage({
      type: MessageType.READ,
      requestId: 1,
      transactionId: 0,
      payload: new Uint8Array(0),
    });
    new DataView(header.buffer).setUint32(12, 4097, true);
    driver.sendRaw(header);
    driver.put();
    xenstored.poll(3);
    assert.equal(word(driver, RingOffset.ERROR), ConnectionFault.PROTO);
  });

  it('about the length of a payload within the limit is waited for', () => {
    const { driver, xenstored, run } = setUp();
    const header = encodeMessage({
      type: MessageType.READ,
      requestId: 1,
      transactionId: 0,
      payload: new Uint8Array(0),
    });
    new DataView(header.buffer).setUint32(12, 4096, true);
    driver.sendRaw(header);
    run();
    assert.deepEqual(driver.messages, []);
    driver.sendRaw(new Uint8Array(4096));
    run();
    assert.deepEqual(driver.texts(), ['EINVAL']);
    assert.equal(xenstored.accountOf(3)!.outstanding, 0);
  });

  it('by random words in the page harms only itself', () => {
    const { drivers, driver, xenstored, run, control } = setUp([3, 4]);
    let state = 99;
    const random = (limit: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    let faults = 0;
    for (let round = 0; round < 3000; round++) {
      for (let i = 0; i < 8; i++) driver.page.bytes[random(4096)] = random(256);
      const offset = RingOffset.REQ_CONS + 4 * random(7);
      driver.page.write32(offset, random(3) === 0 ? random(2 ** 32) : random(1500));
      xenstored.poll(3);
      if (word(driver, RingOffset.ERROR) !== 0) faults++;
      if (random(4) === 0) driver.page.write32(RingOffset.CONNECTION, 1);
    }
    assert.ok(faults > 100);
    const { watches, transactions, outstanding } = xenstored.accountOf(3)!;
    assert.ok(watches <= 128 && transactions <= 10 && outstanding <= 20);
    control.write('/local/domain/4/fine', 'yes');
    drivers[1]!.send('READ', 'fine');
    run(4, drivers[1]!);
    assert.deepEqual(drivers[1]!.texts(), ['yes']);
    assert.deepEqual(xenstored.audit(), []);
  });
});

describe('a guest that floods', () => {
  it('and does not read its answers is not read from any more, until it does', () => {
    const { driver, xenstored, run } = setUp();
    const count = 300;
    for (let i = 0; i < count; i++) driver.send('READ', 'none');
    for (let i = 0; i < 50; i++) {
      driver.put();
      xenstored.poll(3);
    }
    const account = xenstored.accountOf(3)!;
    assert.equal(account.outstanding, 20);
    assert.ok(account.memory < 4096);
    assert.equal(word(driver, RingOffset.REQ_PROD) - word(driver, RingOffset.REQ_CONS), RING_BYTES);
    run();
    assert.equal(driver.messages.length, count);
    assert.ok(driver.texts().every((text) => text === 'ENOENT'));
    assert.equal(account.outstanding, 0);
  });

  it('is served further by one kick after it has read', () => {
    const { driver, xenstored } = setUp();
    for (let i = 0; i < 40; i++) driver.send('READ', 'none');
    while (driver.put() > 0) xenstored.poll(3);
    driver.take();
    // One kick must be enough for each ring full of answers: Linux kicks only when the ring was full.
    for (let i = 0; i < 10 && driver.messages.length < 40; i++) {
      xenstored.poll(3);
      driver.take();
    }
    assert.equal(driver.messages.length, 40);
  });

  it('with events to one that sleeps fills only that one, up to its quota', () => {
    const { drivers, driver, xenstored, control, run } = setUp([3, 4]);
    const sleeper = drivers[1]!;
    xenstored.quota.memory = 50_000;
    control.write('/shared', '');
    control.setPermissions('/shared', ['n3', 'r4']);
    sleeper.send('WATCH', '/shared', 'tok');
    run(4, sleeper);
    for (let i = 0; i < 500; i++) {
      driver.send('MKDIR', `/shared/${'n'.repeat(200)}${i}`);
      driver.send('RM', `/shared/${'n'.repeat(200)}${i}`);
      run();
    }
    assert.equal(driver.messages.length, 1000);
    assert.ok(driver.texts().every((text) => text === 'OK'));
    const { memory, outstanding } = xenstored.accountOf(4)!;
    assert.ok(memory > 45_000 && memory <= 50_000);
    assert.equal(outstanding, 0);
    for (let i = 0; i < 100; i++) {
      xenstored.poll(4);
      sleeper.take();
    }
    const paths = new Set(sleeper.texts());
    assert.ok(paths.size > 150 && paths.size < 300);
    assert.equal(xenstored.accountOf(4)!.memory < 100, true);
    sleeper.send('READ', 'none');
    run(4, sleeper);
    assert.equal(sleeper.texts().at(-1), 'ENOENT');
  });

  it('with events to the control domain waits until they are read', () => {
    const { driver, xenstored, control, run } = setUp();
    const socket = xenstored.connect();
    socket.receive(
      encodeMessage({
        type: MessageType.WATCH,
        requestId: 1,
        transactionId: 0,
        payload: encodeStrings(['/', 't']),
      }),
    );
    for (let i = 0; i < 60; i++) driver.send('WRITE', `key${i}`, 'x');
    for (let i = 0; i < 60; i++) {
      driver.put();
      xenstored.poll(3);
      driver.take();
    }
    assert.equal(driver.messages.length, 20);
    assert.equal(xenstored.accountOf(3)!.outstanding, 20);
    driver.put();
    const consumed = word(driver, RingOffset.REQ_CONS);
    // What others do meanwhile is no reason to read on.
    control.write('/other', 'x');
    assert.equal(word(driver, RingOffset.REQ_CONS), consumed);
    const buffer = new Uint8Array(4096);
    socket.onOutput = () => {
      while (socket.pending) socket.pull(buffer);
    };
    socket.resumeOutput();
    // No kick of the guest was needed: what it had waiting was read as soon as there was room.
    assert.ok(word(driver, RingOffset.REQ_CONS) > consumed);
    run();
    assert.equal(driver.messages.length, 60);
  });

  it('cannot own more nodes, larger nodes or more bytes than allowed', () => {
    const { driver, run, control, xenstored } = setUp();
    for (let i = 0; i < 34; i++) for (let j = 0; j < 32; j++) driver.send('MKDIR', `${i}/${j}`);
    run();
    assert.equal(xenstored.accountOf(3)!.nodes, 1000);
    assert.equal(driver.texts().at(-1), 'ENOSPC');
    driver.messages.length = 0;
    driver.send('WRITE', '0/1', 'x'.repeat(2048));
    driver.send('WRITE', '0/1', 'x'.repeat(1900));
    run();
    assert.deepEqual(driver.texts(), ['ENOSPC', 'OK']);
    control.write('/local/domain/3/0/2', 'x'.repeat(3000));
    assert.deepEqual(xenstored.audit(), []);
  });

  it('cannot make a directory grow beyond the size of a node', () => {
    const { driver, run } = setUp();
    for (let i = 0; i < 30; i++) driver.send('MKDIR', `dir/${'n'.repeat(100)}${i}`);
    run();
    const texts = driver.texts();
    assert.equal(texts[0], 'OK');
    assert.equal(texts.at(-1), 'ENOSPC');
  });

  it('by an event that waits already gets it once', () => {
    const { driver, control, xenstored, run } = setUp();
    driver.send('WATCH', 'a', 't');
    run();
    driver.page.write32(RingOffset.RSP_CONS, word(driver, RingOffset.RSP_PROD) - RING_BYTES); // full
    for (let i = 0; i < 100; i++) control.write('/local/domain/3/a', `${i}`);
    driver.messages.length = 0;
    driver.page.write32(RingOffset.RSP_CONS, word(driver, RingOffset.RSP_PROD));
    xenstored.poll(3);
    driver.take();
    assert.deepEqual(driver.texts(), ['a t']);
  });
});

describe('reconnection', () => {
  it('gives a guest a fresh connection on a message boundary', () => {
    const { driver, xenstored, run, control } = setUp();
    driver.send('WATCH', 'a', 't');
    driver.send('TRANSACTION_START', '');
    run();
    driver.sendRaw(new Uint8Array(7)); // half a header
    driver.put();
    xenstored.poll(3);
    driver.page.write32(RingOffset.CONNECTION, 1);
    const { kicks } = driver;
    xenstored.poll(3);
    assert.equal(word(driver, RingOffset.CONNECTION), 0);
    assert.ok(driver.kicks > kicks);
    for (const offset of [2048, 2052, 2056, 2060]) assert.equal(word(driver, offset), 0);
    control.write('/local/domain/3/a', 'x');
    assert.equal(word(driver, RingOffset.RSP_PROD), 0);
    driver.messages.length = 0;
    driver.send('READ', 'a');
    run();
    assert.deepEqual(driver.texts(), ['x']);
  });

  it('brings back a guest that was ignored', () => {
    const { driver, xenstored, run } = setUp();
    driver.page.write32(RingOffset.REQ_PROD, 5000);
    xenstored.poll(3);
    assert.equal(word(driver, RingOffset.ERROR), ConnectionFault.RINGIDX);
    driver.page.write32(RingOffset.CONNECTION, 1);
    xenstored.poll(3);
    assert.equal(word(driver, RingOffset.ERROR), ConnectionFault.NONE);
    driver.send('READ', 'none');
    run();
    assert.deepEqual(driver.texts(), ['ENOENT']);
  });
});
