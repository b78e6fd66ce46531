/**
 * The client of xenstore and the console's front end on the xenbus, against a store in TypeScript at the other end of the
 * rings: it answers when its event comes, in pieces, as a ring of 1024 bytes makes it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  XS_ERROR,
  XS_READ,
  XS_RM,
  XS_WATCH,
  XS_WATCH_EVENT,
  XS_WRITE,
} from '../../abi/xen/numbers/xenstore.ts';
import * as abi from '../../abi/xen/structures/index.ts';
import { loadGuest } from '../testing/index.ts';

const PAGE = 4096;
const STORE_PORT = 3;
const RING_BYTES = 1024;
const [SCHED_OP, EVENT_OP, GRANT_OP] = [29, 32, 20];
const [SEND, ALLOCATE_UNBOUND] = [4, 6];
const HEADER = 16;
const ring = abi.xenstore_domain_interface.x64.offset;

/** A store of flat nodes that speaks the wire protocol over the rings at `page`. */
class Store {
  readonly nodes = new Map<string, string>();
  /** What the guest asked, in words. */
  readonly log: string[] = [];
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly page: number;
  private request: number[] = [];
  private readonly reply: number[] = [];
  /** Sent before the next reply: an event that nobody waits for. */
  unasked: string | undefined;

  constructor(bytes: Uint8Array, page: number) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
    this.page = page;
  }

  /** The guest's event came: takes what is there, and gives what there is room for. */
  serve(): void {
    const index = (field: number) => this.view.getUint32(this.page + field, true);
    const set = (field: number, value: number) => this.view.setUint32(this.page + field, value, true);
    for (let at = index(ring.req_cons); at !== index(ring.req_prod); set(ring.req_cons, ++at)) {
      this.request.push(this.bytes[this.page + ring.req + (at % RING_BYTES)]!);
    }
    this.answer();
    for (let at = index(ring.rsp_prod); this.reply.length > 0 && at - index(ring.rsp_cons) < RING_BYTES; ) {
      this.bytes[this.page + ring.rsp + (at % RING_BYTES)] = this.reply.shift()!;
      set(ring.rsp_prod, ++at);
    }
  }

  private answer(): void {
    if (this.request.length < HEADER) return;
    const header = new DataView(Uint8Array.from(this.request.slice(0, HEADER)).buffer);
    const [type, id, , length] = [0, 4, 8, 12].map((at) => header.getUint32(at, true)) as [
      number,
      number,
      number,
      number,
    ];
    if (this.request.length < HEADER + length) return;
    const payload = Buffer.from(this.request.slice(HEADER, HEADER + length)).toString('latin1');
    this.request = this.request.slice(HEADER + length);
    const [path, rest = ''] = payload.split('\0') as [string, string?];
    if (this.unasked !== undefined) this.send(XS_WATCH_EVENT, 0, this.unasked);
    this.unasked = undefined;
    const old = this.nodes.get(path);
    if (type === XS_WRITE) {
      this.log.push(`${path} = ${rest}`);
      this.nodes.set(path, rest);
    }
    if (type === XS_READ && old === undefined) this.send(XS_ERROR, id, 'ENOENT\0');
    else if (type === XS_READ) this.send(type, id, old!);
    else if (type === XS_RM && !this.nodes.delete(path)) this.send(XS_ERROR, id, 'ENOENT\0');
    else if ([XS_WRITE, XS_RM, XS_WATCH].includes(type)) this.send(type, id, 'OK\0');
  }

  private send(type: number, id: number, payload: string): void {
    const header = new DataView(new ArrayBuffer(HEADER));
    header.setUint32(0, type, true);
    header.setUint32(4, id, true);
    header.setUint32(12, payload.length, true);
    this.reply.push(...new Uint8Array(header.buffer), ...Buffer.from(payload, 'latin1'));
  }
}

async function client() {
  const sent: number[] = [];
  const guest = await loadGuest('src/guest/xen/testing/backend.ts', {
    hypercall: (number, [command, argument]) => {
      // Waiting for an event of a store that has said all it has to say would never end.
      if (number === SCHED_OP) store.serve();
      if (number === GRANT_OP) machine.write(machine.read(argument! + 16n, 8), 8, 0x999n);
      if (number !== EVENT_OP) return 0;
      if (Number(command) === ALLOCATE_UNBOUND) machine.write(argument! + 4n, 4, 17n);
      if (Number(command) !== SEND) return 0;
      const port = Number(machine.read(argument!, 4));
      if (port === STORE_PORT) store.serve();
      else sent.push(port);
      return 0;
    },
  });
  const { exports, machine, bytes } = guest;
  const page = exports.pages!() as number;
  const store = new Store(bytes, page + PAGE);
  exports.setSharedInfo!(page);
  exports.setXenstore!(page + PAGE, STORE_PORT);
  let room = 0x300000;
  /** A zero-terminated text in the guest's memory. */
  const text = (value: string): number => {
    const at = room;
    bytes.set(Buffer.from(`${value}\0`, 'latin1'), at);
    room += value.length + 1;
    return at;
  };
  const read = (path: string, most = 4096): string | number => {
    const into = 0x380000;
    const length = exports.xenstoreRead!(text(path), into, most) as number;
    return length < 0
      ? length
      : Buffer.from(bytes.slice(into, into + Math.min(length, most))).toString('latin1');
  };
  return { ...guest, store, text, read, sent, page };
}

test('a node is written, read, found missing and removed', async () => {
  const { exports, store, text, read } = await client();
  assert.equal(read('name'), -1);
  store.nodes.set('name', 'guest');
  assert.equal(read('name'), 'guest');
  assert.equal(read('name', 2), 'gu', 'what there is no room for is left out');
  assert.equal(exports.xenstoreWrite!(text('data/a'), text('hello'), 5), 3);
  assert.equal(read('data/a'), 'hello');
  assert.equal(exports.xenstoreRemove!(text('data/a')), 3);
  assert.equal(exports.xenstoreRemove!(text('data/a')), -1);
  assert.equal(exports.xenstoreWatch!(text('data'), text('token')), 3);
});

test('a value longer than the ring goes through in pieces, both ways', async () => {
  const { exports, text, read } = await client();
  const long = Array.from({ length: 3000 }, (_, i) => String.fromCharCode(97 + (i % 26))).join('');
  exports.xenstoreWrite!(text('long'), text(long), long.length);
  assert.equal(read('long'), long);
});

test('an event of a watch does not pass for the reply', async () => {
  const { exports, store, read } = await client();
  store.nodes.set('name', 'guest');
  store.unasked = 'data\0token\0';
  assert.equal(read('name'), 'guest');
  assert.equal((exports.watchEvents as unknown as WebAssembly.Global).value, 1);
});

test("a console's front end lends its page, says so, and connects when the back end has", async () => {
  const { exports, machine, store, text, sent, page } = await client();
  const device = text('device/console/1');
  const console = page + 2 * PAGE;
  const grants = page + 3 * PAGE;
  exports.reserveBrk!(20 * PAGE);
  exports.openBrk!(0x500000);
  for (let pfn = 0; pfn < 1024; pfn++) machine.write(BigInt(0x400000 + pfn * 8), 8, BigInt(0x1000 + pfn));
  exports.buildPhysToMachine!(0x400000, 1024n);
  assert.equal(exports.setupGrants!(grants), 1);

  assert.equal(exports.connectXenbusConsole!(device, console), 0, 'there is no such device');
  store.nodes.set('device/console/1/backend-id', '5');
  store.nodes.set('device/console/1/backend', '/local/domain/5/backend/console/1/1');
  store.nodes.set('/local/domain/5/backend/console/1/1/state', '1');
  assert.equal(exports.connectXenbusConsole!(device, console), 0, 'nobody waits for us yet');
  store.nodes.set('/local/domain/5/backend/console/1/1/state', '2');
  assert.equal(exports.connectXenbusConsole!(device, console), 1);
  assert.deepEqual(store.log, [
    'device/console/1/ring-ref = 8',
    'device/console/1/port = 17',
    'device/console/1/state = 3',
  ]);
  // The grant: access permitted, to domain 5, the console page's frame.
  assert.equal(
    machine.read(BigInt(grants + 8 * 8), 8),
    (BigInt(0x1000 + console / PAGE) << 32n) | (5n << 16n) | 1n,
  );
  assert.equal(exports.xenbusConsoleConnected!(device), 0);
  store.nodes.set('/local/domain/5/backend/console/1/1/state', '4');
  assert.equal(exports.xenbusConsoleConnected!(device), 1);
  assert.equal(store.nodes.get('device/console/1/state'), '4');

  // From now on it is the console.
  assert.equal(exports.xenConsoleWrite!(text('hi'), 2), 2);
  assert.deepEqual(sent, [17]);
  const out = abi.xencons_interface.x64.offset;
  assert.equal(machine.read(BigInt(console + out.out), 2), 0x6968n);
  assert.equal(machine.read(BigInt(console + out.out_prod), 4), 2n);
});

test('the console takes what there is room for, around the end of its rings', async () => {
  const { exports, machine, bytes, sent, page } = await client();
  const console = page + 2 * PAGE;
  const { out, out_prod, out_cons, in: input, in_prod, in_cons } = abi.xencons_interface.x64.offset;
  const set = (field: number, value: number) =>
    machine.write(BigInt(console + field), 4, BigInt(value >>> 0));
  exports.setConsole!(console, 9);
  // Indices run freely, over 2^32 too.
  set(out_cons, -1000);
  set(out_prod, -100);
  bytes.fill(0x41, 0x300000, 0x300000 + 2000);
  assert.equal(exports.xenConsoleWrite!(0x300000, 2000), 2048 - 900);
  assert.equal(exports.xenConsoleWrite!(0x300000, 2000), 0);
  assert.equal(machine.read(BigInt(console + out_prod), 4), 1048n);
  assert.equal(machine.read(BigInt(console + out), 1), 0x41n);
  set(in_cons, 1022);
  set(in_prod, 1026);
  for (const [i, at] of [1022, 1023, 0, 1].entries()) bytes[console + input + at] = 0x61 + i;
  assert.equal(exports.xenConsoleRead!(0x300000, 3), 3);
  assert.equal(Buffer.from(bytes.slice(0x300000, 0x300003)).toString(), 'abc');
  assert.equal(exports.xenConsoleRead!(0x300000, 3), 1);
  assert.equal(exports.xenConsoleRead!(0x300000, 3), 0);
  assert.deepEqual(sent, [9, 9, 9], 'nobody is told of nothing');
});
