/**
 * The ring of xenstore against a guest that changes indices and bytes while the daemon works: the daemon stays within
 * the page, ends soon, keeps its books and its quotas; the store of others and their service are untouched; and a guest
 * that begins anew is served like any other.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionFault } from '../../src/toolstack/xenstore/connection.ts';
import { Account } from '../../src/toolstack/xenstore/quota.ts';
import { RingOffset as Offset, RING_BYTES } from '../../src/toolstack/xenstore/ring.ts';
import {
  bytesToText,
  encodeMessage,
  encodeStrings,
  HEADER_BYTES,
  MessageType,
} from '../../src/toolstack/xenstore/wire.ts';
import { Xenstored } from '../../src/toolstack/xenstore/xenstored.ts';
import { HostilePage, indexValues } from './hostile-page.ts';
import { LENGTH, Random, SEED } from './random.ts';

const ROUNDS = 12_000 * LENGTH;
const ROUNDS_OF_ONE_LIFE = 400;
const HOSTILE = 3;
const NEIGHBOUR = 4;
const SLEEPER = 5;
/** Small ones, so that they are reached. */
const QUOTA = {
  nodes: 20,
  watches: 12,
  transactions: 3,
  outstanding: 6,
  transactionNodes: 20,
  memory: 5000,
  nodeSize: 512,
  pathLength: 120,
  permissions: 3,
};
/** An answer may still be queued when a quota is reached. */
const SPARE_BYTES = 4096 + 2 * HEADER_BYTES;
/** What one kick may lead to: some 50 requests, each with the answers and events that fit into the quotas. */
const MOST_ACCESSES = 5000;
const KINDS = ['nodes', 'watches', 'transactions', 'outstanding', 'memory'] as const;
const INDICES = [Offset.REQ_CONS, Offset.REQ_PROD, Offset.RSP_CONS, Offset.RSP_PROD] as const;
const HOME = `/local/domain/${HOSTILE}`;

const PATHS = [
  ...['', 'a', 'a/b', 'a/b/c', 'device', 'x'.repeat(110), 'x'.repeat(121), 'bad path', '/', '//', '\x1b\n'],
  ...[
    HOME,
    `${HOME}/a`,
    `/local/domain/${NEIGHBOUR}`,
    `/local/domain/${NEIGHBOUR}/secret`,
    '/local',
    '/tool',
  ],
  ...['@releaseDomain', '@introduceDomain', '@nothing', `/local/domain/${NEIGHBOUR}/public`],
];
const PERMISSIONS = [`n${HOSTILE}`, `b${HOSTILE}`, `r${NEIGHBOUR}`, `w${NEIGHBOUR}`, 'n0', 'n9', 'q', ''];
const TYPES = Object.values(MessageType);

type Name = keyof typeof MessageType;

function request(name: Name, strings: readonly string[], transactionId = 0): Uint8Array {
  return encodeMessage({
    type: MessageType[name],
    requestId: 7,
    transactionId,
    payload: encodeStrings(strings),
  });
}

/** A request that an honest guest might make, if not always with success. */
function likelyRequest(random: Random): Uint8Array {
  const path = random.once(3)
    ? random.pick(PATHS)
    : `${random.pick(['a', 'a/b', 'd', HOME])}/${random.below(90)}`;
  const transaction = random.once(3) ? 1 + random.below(random.once(4) ? 50 : 6) : 0;
  switch (random.below(12)) {
    case 0:
    case 1:
      return request('WATCH', [path, `t${random.below(9)}`], 0);
    case 2:
      return request('UNWATCH', [path, `t${random.below(9)}`], 0);
    case 3:
      return request('TRANSACTION_START', [''], random.once(20) ? transaction : 0);
    case 4:
      return request('TRANSACTION_END', [random.pick(['T', 'F'])], transaction);
    case 5:
      return request(
        'SET_PERMS',
        [path, ...PERMISSIONS.slice(random.below(4), random.below(9))],
        transaction,
      );
    case 6:
      return request(random.once(9) ? 'RM' : 'DIRECTORY', [path], transaction);
    case 7:
      return request(
        random.pick(['READ', 'GET_PERMS', 'DIRECTORY_PART'] as const),
        [path, '0'].slice(random.below(2)),
        transaction,
      );
    case 8:
      return request('MKDIR', [path], transaction);
    default:
      return request('WRITE', [path, 'v'.repeat(random.below(500))], transaction);
  }
}

/** Any request: likely ones, any type with any payload, lengths that are lies. */
function anyRequest(random: Random): Uint8Array {
  if (!random.once(8)) return likelyRequest(random);
  const payload = new Uint8Array(random.below(80));
  random.fill(payload);
  const bytes = random.once(2)
    ? encodeMessage({
        type: random.below(40),
        requestId: random.next(),
        transactionId: random.below(4),
        payload,
      })
    : encodeMessage({
        type: random.pick(TYPES),
        requestId: 1,
        transactionId: 0,
        payload: encodeStrings([random.pick(PATHS), '1', '2', '3']),
      });
  // Too long for anyone, or so long that later requests are taken for its payload.
  if (random.once(50))
    new DataView(bytes.buffer).setUint32(12, random.pick([4096, 4097, 0x80000000, 100]), true);
  return bytes;
}

/** A daemon with three guests: one hostile, one that asks, one that lets its events lie. */
class Bench {
  readonly store = new Xenstored({ quota: QUOTA });
  readonly control = this.store.client();
  readonly page = hostilePage();
  readonly neighbour = hostilePage();
  readonly sleeper = hostilePage();
  /** The hostile guest's requests that the ring had no room for yet. */
  private rest: Uint8Array = new Uint8Array();
  private readonly before: string;

  constructor() {
    const { control, store } = this;
    for (const [domid, page] of [
      [HOSTILE, this.page],
      [NEIGHBOUR, this.neighbour],
      [SLEEPER, this.sleeper],
    ] as const) {
      const home = `/local/domain/${domid}`;
      store.createDomain(domid);
      control.mkdir(home);
      control.setPermissions(home, [`n${domid}`, `r${SLEEPER}`]);
      store.introduce(domid, { page, notify: () => {} });
    }
    writeToRing(this.sleeper, request('WATCH', [HOME, 'token']));
    store.poll(SLEEPER);
    const theirs = `/local/domain/${NEIGHBOUR}`;
    for (const name of ['secret', 'public']) {
      control.write(`${theirs}/${name}`, name);
      control.setPermissions(`${theirs}/${name}`, [`n${NEIGHBOUR}`]);
    }
    control.setPermissions(`${theirs}/public`, [`n${NEIGHBOUR}`, `r${HOSTILE}`]);
    control.write('/tool', 'x');
    this.before = this.storeOfOthers();
  }

  account(domid: number): Account {
    return this.store.accountOf(domid)!;
  }

  /** Everything but what the hostile guest owns. */
  private storeOfOthers(): string {
    const lines: string[] = [];
    const { store } = this.store;
    const visit = (path: string): void => {
      const { value, permissions, children } = store.read(path)!;
      const paths = children.map((name) => `${path === '/' ? '' : path}/${name}`);
      const others = paths.filter((child) => child !== HOME).sort();
      lines.push(`${path} ${bytesToText(value)} ${JSON.stringify(permissions)} ${others.join()}`);
      for (const child of others) visit(child);
    };
    visit('/');
    return lines.join('\n');
  }

  /** Puts requests into the hostile guest's ring as far as there seems to be room. */
  put(bytes: Uint8Array): void {
    const { buffer } = this.page;
    const all = this.rest.length > 2000 ? bytes : Uint8Array.of(...this.rest, ...bytes);
    const consumer = buffer.read32(Offset.REQ_CONS);
    let producer = buffer.read32(Offset.REQ_PROD);
    let sent = 0;
    for (; sent < all.length && (producer - consumer) >>> 0 < RING_BYTES; sent++) {
      buffer.bytes[Offset.REQ + (producer % RING_BYTES)] = all[sent]!;
      producer = (producer + 1) >>> 0;
    }
    buffer.write32(Offset.REQ_PROD, producer);
    this.rest = all.subarray(sent);
  }

  kick(domid = HOSTILE, page = this.page): void {
    page.begin();
    this.store.poll(domid);
  }

  /** The books are in order, quotas hold, others are as they were. */
  check(when: string): void {
    assert.deepEqual(this.store.audit(), [], when);
    assert.equal(this.storeOfOthers(), this.before, when);
    for (const domid of [HOSTILE, NEIGHBOUR, SLEEPER]) {
      const account = this.account(domid);
      for (const name of KINDS) {
        const used = account[name];
        assert.ok(
          used >= 0 && used <= QUOTA[name] + (name === 'memory' ? SPARE_BYTES : 0),
          `domain ${domid} uses ${used} ${name} ${when}`,
        );
      }
    }
  }

  /** Asks for a node and expects its value: the service of a guest that behaves. */
  ask(domid: number, page: HostilePage, path: string, expected: string, when: string): void {
    const { buffer } = page;
    const { guest } = page;
    page.guest = () => {};
    writeToRing(page, request('READ', [path]));
    const from = buffer.read32(Offset.RSP_PROD);
    this.kick(domid, page);
    const length = buffer.read32(Offset.RSP_PROD) - from;
    const answer = Uint8Array.from(
      { length },
      (_, i) => buffer.bytes[Offset.RSP + ((from + i) % RING_BYTES)]!,
    );
    assert.equal(bytesToText(answer.subarray(HEADER_BYTES)), expected, when);
    buffer.write32(Offset.RSP_CONS, buffer.read32(Offset.RSP_PROD));
    page.guest = guest;
  }

  /** The guest begins anew: nothing of its former life weighs on it, and it is served. */
  recover(when: string): void {
    const { page, control } = this;
    page.guest = () => {};
    this.rest = new Uint8Array();
    page.buffer.write32(Offset.CONNECTION, 1);
    this.kick();
    assert.equal(page.buffer.read32(Offset.ERROR), ConnectionFault.NONE, when);
    const { watches, transactions, outstanding } = this.account(HOSTILE);
    assert.deepEqual([watches, transactions, outstanding], [0, 0, 0], when);
    this.ask(HOSTILE, page, `/local/domain/${NEIGHBOUR}/public`, 'public', when);
    this.ask(HOSTILE, page, `/local/domain/${NEIGHBOUR}/secret`, 'EACCES\0', when);
    control.rm(HOME);
    assert.deepEqual(
      { ...this.account(HOSTILE) },
      { nodes: 0, watches: 0, transactions: 0, outstanding: 0, memory: 0 },
      when,
    );
    control.mkdir(HOME);
    control.setPermissions(HOME, [`n${HOSTILE}`, `r${SLEEPER}`]);
  }
}

/** Writes a request behind what is in the ring already. */
function writeToRing({ buffer }: HostilePage, bytes: Uint8Array): void {
  const start = buffer.read32(Offset.REQ_PROD);
  for (const [i, byte] of bytes.entries()) buffer.bytes[Offset.REQ + ((start + i) % RING_BYTES)] = byte;
  buffer.write32(Offset.REQ_PROD, start + bytes.length);
}

function hostilePage(): HostilePage {
  return new HostilePage({
    readable: [Offset.REQ, Offset.RSP],
    writable: [Offset.RSP, Offset.REQ_CONS],
    words: [...INDICES, Offset.SERVER_FEATURES, Offset.CONNECTION, Offset.ERROR],
    mostAccesses: MOST_ACCESSES,
  });
}

test('one change of a word of the ring, whenever it comes, leaves the daemon sound', () => {
  const requests = [
    request('MKDIR', ['a']),
    request('WATCH', ['a', 't']),
    request('TRANSACTION_START', ['']),
  ];
  let cases = 0;
  for (const word of [...INDICES, Offset.CONNECTION]) {
    for (const value of word === Offset.CONNECTION ? [1, 2, 0xffffffff] : indexValues(-50, RING_BYTES)) {
      const bench = new Bench();
      const { page } = bench;
      for (let when = 0, more = true; more; when++) {
        for (const index of INDICES) page.buffer.write32(index, -50);
        for (const request of requests) bench.put(request);
        page.guest = (access) => {
          if (access === when) page.buffer.write32(word, value);
        };
        bench.kick();
        more = page.accesses > when;
        const what = `after ${value} at ${word} before access ${when}`;
        bench.check(what);
        bench.recover(what);
        cases++;
      }
    }
  }
  assert.ok(cases > 1000, `${cases} cases`);
});

test('a guest that scribbles over its ring all the time harms only itself', () => {
  const random = new Random(SEED + 22);
  let bench = new Bench();
  const most = new Account();
  for (let round = 0; round < ROUNDS; round++) {
    const { page, control } = bench;
    const { buffer } = page;
    // At times honest, so that it gets far; at times as fast as it can.
    const haste = random.pick([1, 3, 20, 10_000, 10_000, 10_000]);
    page.guest = () => {
      if (!random.once(haste)) return;
      switch (random.below(8)) {
        case 0:
          buffer.write32(
            random.pick(INDICES),
            random.pick(indexValues(buffer.read32(random.pick(INDICES)), RING_BYTES)),
          );
          break;
        case 1:
          buffer.bytes[random.below(Offset.REQ_CONS)] = random.next() >>> 24;
          break;
        case 2:
          if (random.once(20)) buffer.write32(Offset.CONNECTION, random.below(3));
          break;
        case 3:
        case 4:
          bench.put(anyRequest(random));
          break;
        default:
          buffer.write32(Offset.RSP_CONS, buffer.read32(Offset.RSP_PROD));
      }
    };
    for (let count = random.below(12); count > 0; count--) bench.put(anyRequest(random));
    if (!random.once(4)) buffer.write32(Offset.RSP_CONS, buffer.read32(Offset.RSP_PROD));
    bench.kick();
    if (random.once(3)) {
      page.begin();
      control.write(`${HOME}/a`, `${round}`);
    }
    for (const name of KINDS) most[name] = Math.max(most[name], bench.account(HOSTILE)[name]);
    const when = `after round ${round}`;
    if (round % 8 === 0) bench.ask(NEIGHBOUR, bench.neighbour, 'secret', 'secret', when);
    if (round % 25 === 0) bench.check(when);
    if (buffer.read32(Offset.ERROR) !== ConnectionFault.NONE || random.once(300)) bench.recover(when);
    if (round % ROUNDS_OF_ONE_LIFE === 0) {
      page.guest = () => {};
      bench.store.destroyDomain(HOSTILE);
      control.rm(HOME);
      assert.deepEqual(bench.store.audit(), [], when);
      assert.equal(bench.store.accountOf(HOSTILE), undefined, when);
      bench = new Bench();
    }
  }
  // What never came near its limit has not been tried.
  assert.ok(bench.account(SLEEPER).memory > QUOTA.memory * 0.9);
  for (const name of KINDS) assert.ok(most[name] > QUOTA[name] * 0.9, `${most[name]} ${name} at most`);
});

test('a guest that asks faster than it can be served is left alone until its next kick', () => {
  const bench = new Bench();
  const { page, control } = bench;
  const { buffer } = page;
  const fillUp = () => {
    const consumer = buffer.read32(Offset.REQ_CONS);
    for (let i = 0; i < RING_BYTES; i++) {
      buffer.bytes[Offset.REQ + ((consumer + i) % RING_BYTES)] = tiny[(consumer + i) % tiny.length]!;
    }
    buffer.write32(Offset.REQ_PROD, consumer + RING_BYTES);
  };
  const tiny = request('READ', ['a'.repeat(15)]);
  assert.equal(RING_BYTES % tiny.length, 0);
  bench.put(request('WATCH', ['b', 't'.repeat(45)]));
  bench.kick();
  // It leaves its answers lie until the daemon does not read on.
  fillUp();
  bench.kick();
  fillUp();
  bench.kick();
  page.guest = () => {
    buffer.write32(Offset.RSP_CONS, buffer.read32(Offset.RSP_PROD));
    fillUp();
  };
  page.begin();
  control.write(`${HOME}/b`, 'x');
  assert.ok(page.accesses > 20, `${page.accesses} accesses to the page`);
  bench.check('being too fast');
  bench.recover('being too fast');
});
