import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferPage } from '../shared-page.ts';
import {
  bytesToText,
  decodeStrings,
  encodeMessage,
  encodeStrings,
  MessageType,
  textToBytes,
} from './wire.ts';
import { WireClient } from './wire-client.ts';
import { Xenstored } from './xenstored.ts';

/** A daemon with domains 3 and 4, each with a directory of its own, and a wire client for each. */
function setUp() {
  const logged: string[] = [];
  const xenstored = new Xenstored({
    log: (line) => logged.push(line),
    mapRing: (_domid, gfn) => (gfn === 77 ? { page: new BufferPage(), notify: () => {} } : null),
  });
  const control = new WireClient(xenstored.connect());
  for (const domid of [3, 4]) {
    xenstored.createDomain(domid);
    control.ask('MKDIR', [`/local/domain/${domid}`]);
    control.ask('SET_PERMS', [`/local/domain/${domid}`, `n${domid}`]);
  }
  const guest = new WireClient(xenstored.connect(3));
  const other = new WireClient(xenstored.connect(4));
  return { xenstored, control, guest, other, logged };
}

describe('READ and WRITE', () => {
  it('store and give back any bytes', () => {
    const { guest } = setUp();
    const value = Uint8Array.from({ length: 256 }, (_, index) => index);
    assert.deepEqual(guest.ask('WRITE', new Uint8Array([...textToBytes('data\0'), ...value])), ['OK']);
    assert.deepEqual(guest.request('READ', ['data']).payload, value);
  });

  it('create missing parents, owned by the guest', () => {
    const { guest } = setUp();
    assert.equal(guest.write('a/b/c', 'x'), 'OK');
    assert.equal(guest.read('a/b'), '');
    assert.deepEqual(guest.ask('GET_PERMS', ['a']), ['n3']);
    assert.deepEqual(guest.ask('DIRECTORY', ['a']), ['b']);
  });

  it('take relative paths as the directory of the domain', () => {
    const { guest, control } = setUp();
    guest.write('x', '1');
    assert.equal(control.read('/local/domain/3/x'), '1');
    assert.equal(guest.read('/local/domain/3/x'), '1');
    control.write('x', 'of the control domain');
    assert.equal(control.read('/local/domain/0/x'), 'of the control domain');
  });

  it('refuse a path without a nul, an illegal path and a second string', () => {
    const { guest } = setUp();
    assert.equal(guest.ask('WRITE', textToBytes('a')), 'EINVAL');
    assert.equal(guest.write('a b', 'x'), 'EINVAL');
    assert.equal(guest.write('a/', 'x'), 'EINVAL');
    assert.equal(guest.write('', 'x'), 'EINVAL');
    assert.equal(guest.write('@releaseDomain', 'x'), 'EINVAL');
    assert.equal(guest.read('a//b'), 'EINVAL');
    assert.equal(guest.ask('READ', ['x', 'y']), 'EINVAL');
    assert.equal(guest.ask('READ', new Uint8Array(0)), 'EINVAL');
  });

  it('say ENOENT only where the guest may know', () => {
    const { guest } = setUp();
    assert.equal(guest.read('missing'), 'ENOENT');
    assert.equal(guest.read('missing/below'), 'ENOENT');
    assert.equal(guest.read('/local/domain/4/missing'), 'EACCES');
    assert.equal(guest.read('/missing'), 'EACCES');
  });
});

describe('permissions on the wire', () => {
  it('keep one guest out of the directory of another', () => {
    const { guest, other } = setUp();
    other.write('secret', 'x');
    for (const path of ['/local/domain/4', '/local/domain/4/secret']) {
      assert.equal(guest.read(path), 'EACCES');
      assert.equal(guest.write(path, 'y'), 'EACCES');
      assert.equal(guest.ask('DIRECTORY', [path]), 'EACCES');
      assert.equal(guest.ask('DIRECTORY_PART', [path, '0']), 'EACCES');
      assert.equal(guest.ask('GET_PERMS', [path]), 'EACCES');
      assert.equal(guest.ask('SET_PERMS', [path, 'n3']), 'EACCES');
      assert.equal(guest.ask('RM', [path]), 'EACCES');
    }
    assert.equal(guest.write('/local/domain/4/new', 'y'), 'EACCES');
    assert.equal(guest.ask('MKDIR', ['/local/domain/4/new']), 'EACCES');
    assert.equal(guest.ask('RM', ['/local/domain/4/none']), 'EACCES');
    assert.equal(other.read('secret'), 'x');
  });

  it('let a guest read but not write what it may read', () => {
    const { guest, other } = setUp();
    other.write('open', 'x');
    assert.deepEqual(other.ask('SET_PERMS', ['open', 'n4', 'r3']), ['OK']);
    assert.equal(guest.read('/local/domain/4/open'), 'x');
    assert.equal(guest.write('/local/domain/4/open', 'y'), 'EACCES');
    assert.deepEqual(guest.ask('GET_PERMS', ['/local/domain/4/open']), ['n4', 'r3']);
    assert.equal(guest.ask('SET_PERMS', ['/local/domain/4/open', 'n4', 'b3']), 'EACCES');
  });

  it('may be changed by the owner only, not by all who may write', () => {
    const { guest, other } = setUp();
    other.write('open', 'x');
    other.ask('SET_PERMS', ['open', 'n4', 'b3']);
    const path = '/local/domain/4/open';
    assert.equal(guest.write(path, 'y'), 'OK');
    assert.equal(guest.ask('SET_PERMS', [path, 'n4', 'b3', 'r0']), 'EACCES');
    assert.deepEqual(other.ask('SET_PERMS', ['open', 'n4', 'b3', 'r0']), ['OK']);
  });

  it('let only the control domain change the owner', () => {
    const { guest, control } = setUp();
    guest.write('mine', 'x');
    assert.equal(guest.ask('SET_PERMS', ['mine', 'n4']), 'EPERM');
    assert.deepEqual(control.ask('SET_PERMS', ['/local/domain/3/mine', 'n4']), ['OK']);
    assert.equal(guest.read('mine'), 'EACCES');
  });

  it('refuse bad lists', () => {
    const { guest, control } = setUp();
    guest.write('mine', 'x');
    assert.equal(guest.ask('SET_PERMS', ['mine']), 'EINVAL');
    assert.equal(guest.ask('SET_PERMS', ['mine', 'z3']), 'EINVAL');
    assert.equal(guest.ask('SET_PERMS', new Uint8Array(0)), 'EINVAL');
    assert.equal(guest.ask('SET_PERMS', ['mine', 'n3', 'r1', 'r2', 'r4', 'r5', 'r6']), 'ENOSPC');
    assert.equal(control.ask('SET_PERMS', ['/local/domain/3/mine', 'n99']), 'ENOENT');
  });
});

describe('MKDIR and RM', () => {
  it('create a node once and keep the value of one that exists', () => {
    const { guest } = setUp();
    assert.deepEqual(guest.ask('MKDIR', ['dir/sub']), ['OK']);
    assert.equal(guest.read('dir/sub'), '');
    guest.write('dir', 'value');
    assert.deepEqual(guest.ask('MKDIR', ['dir']), ['OK']);
    assert.equal(guest.read('dir'), 'value');
  });

  it('remove a node with all below it', () => {
    const { guest, control, xenstored } = setUp();
    for (const path of ['a/b/c', 'a/b/d', 'a/e']) guest.write(path, 'x');
    assert.deepEqual(guest.ask('RM', ['a/b']), ['OK']);
    assert.equal(guest.read('a/b/c'), 'ENOENT');
    assert.deepEqual(guest.ask('DIRECTORY', ['a']), ['e']);
    assert.match(control.ask('CONTROL', ['quota', '3'])[0]!, /nodes +: +3\n/);
    assert.deepEqual(xenstored.audit(), []);
  });

  it('do not mind a missing node, but a missing parent', () => {
    const { guest } = setUp();
    assert.deepEqual(guest.ask('RM', ['none']), ['OK']);
    assert.equal(guest.ask('RM', ['none/below']), 'ENOENT');
  });

  it('never remove the root', () => {
    const { control, guest } = setUp();
    assert.equal(control.ask('RM', ['/']), 'EINVAL');
    assert.equal(guest.ask('RM', ['/']), 'EACCES');
  });
});

describe('DIRECTORY and DIRECTORY_PART', () => {
  it('list the children in the order in which they came', () => {
    const { guest } = setUp();
    for (const name of ['z', 'a', 'm']) guest.write(`dir/${name}`, '');
    assert.deepEqual(guest.ask('DIRECTORY', ['dir']), ['z', 'a', 'm']);
    assert.deepEqual(guest.ask('DIRECTORY', ['dir/a']), []);
    assert.equal(guest.ask('DIRECTORY', ['dir/b']), 'ENOENT');
  });

  it('list in parts what does not fit in one answer', () => {
    const { control } = setUp();
    const names = Array.from({ length: 500 }, (_, index) => `child-number-${index}`);
    for (const name of names) control.write(`/big/${name}`, '');
    assert.equal(control.ask('DIRECTORY', ['/big']), 'E2BIG');
    const seen: string[] = [];
    let offset = 0;
    const generations = new Set<string>();
    for (;;) {
      const { payload } = control.request('DIRECTORY_PART', ['/big', `${offset}`]);
      assert.ok(payload.length <= 4096);
      const [generation, ...part] = decodeStrings(payload);
      generations.add(generation!);
      const last = part.at(-1) === '';
      seen.push(...(last ? part.slice(0, -1) : part));
      if (last) break;
      offset += payload.length - generation!.length - 1;
    }
    assert.deepEqual(seen, names);
    assert.equal(generations.size, 1);
    control.write('/big/another', '');
    assert.ok(!generations.has(control.ask('DIRECTORY_PART', ['/big', '0'])[0]!));
  });

  it('fill a payload to its last byte', () => {
    const { control } = setUp();
    const names = Array.from({ length: 64 }, (_, index) => `${index}`.padEnd(63, '_'));
    for (const name of names) control.write(`/full/${name}`, '');
    assert.equal(control.request('DIRECTORY', ['/full']).payload.length, 4096);
    control.write('/full/one', '');
    assert.equal(control.ask('DIRECTORY', ['/full']), 'E2BIG');
  });

  it('give an empty part past the end and refuse other payloads', () => {
    const { control } = setUp();
    control.write('/dir/x', '');
    const [generation] = control.ask('DIRECTORY_PART', ['/dir', '0']);
    assert.deepEqual(control.ask('DIRECTORY_PART', ['/dir', '0']), [generation, 'x', '']);
    assert.deepEqual(control.ask('DIRECTORY_PART', ['/dir', '999']), [generation, '']);
    assert.equal(control.ask('DIRECTORY_PART', ['/dir']), 'EINVAL');
    assert.equal(control.ask('DIRECTORY_PART', ['/dir', '0', '0']), 'EINVAL');
    assert.equal(control.ask('DIRECTORY_PART', ['/dir', '-1']), 'EINVAL');
  });
});

describe('messages about domains', () => {
  it('are refused to guests', () => {
    const { guest } = setUp();
    const privileged = [
      'INTRODUCE',
      'RELEASE',
      'RESUME',
      'SET_TARGET',
      'IS_DOMAIN_INTRODUCED',
      'CONTROL',
    ] as const;
    for (const name of privileged) assert.equal(guest.ask(name, ['3', '77', '1']), 'EACCES', name);
  });

  it('name the directory of a domain', () => {
    const { guest } = setUp();
    assert.deepEqual(guest.ask('GET_DOMAIN_PATH', ['12']), ['/local/domain/12']);
    assert.equal(guest.ask('GET_DOMAIN_PATH', ['x']), 'EINVAL');
  });

  it('let a domain act for another once both are introduced', () => {
    const { control, other, xenstored } = setUp();
    other.write('secret', 'x');
    assert.equal(control.ask('SET_TARGET', ['3', '4']), 'ENOENT');
    for (const domid of [3, 4]) xenstored.introduce(domid, { page: new BufferPage(), notify: () => {} });
    assert.deepEqual(control.ask('SET_TARGET', ['3', '4']), ['OK']);
    assert.equal(control.ask('SET_TARGET', ['3', '9']), 'ENOENT');
    assert.equal(control.ask('SET_TARGET', ['0', '4']), 'EINVAL');
    assert.equal(control.ask('SET_TARGET', ['3']), 'EINVAL');
  });

  it('introduce, resume and release a domain', () => {
    const { control } = setUp();
    assert.deepEqual(control.ask('IS_DOMAIN_INTRODUCED', ['3']), ['F']);
    assert.equal(control.ask('INTRODUCE', ['3', '76', '1']), 'ENOENT');
    assert.equal(control.ask('INTRODUCE', ['3', '77', '0']), 'EINVAL');
    assert.equal(control.ask('INTRODUCE', ['3', '77']), 'EINVAL');
    assert.equal(control.ask('INTRODUCE', ['0', '77', '1']), 'EINVAL');
    assert.deepEqual(control.ask('INTRODUCE', ['3', '77', '1', '']), ['OK']);
    assert.deepEqual(control.ask('IS_DOMAIN_INTRODUCED', ['3']), ['T']);
    assert.deepEqual(control.ask('IS_DOMAIN_INTRODUCED', ['0']), ['T']);
    assert.deepEqual(control.ask('RESUME', ['3']), ['OK']);
    assert.deepEqual(control.ask('RELEASE', ['3']), ['OK']);
    assert.deepEqual(control.ask('IS_DOMAIN_INTRODUCED', ['3']), ['F']);
    assert.equal(control.ask('RELEASE', ['3']), 'ENOENT');
    assert.equal(control.ask('RESUME', ['0']), 'EINVAL');
  });

  it('refuse a type that does not exist', () => {
    const { guest } = setUp();
    assert.equal(guest.ask('WATCH_EVENT', ['/a', 'b']), 'ENOSYS');
    assert.equal(guest.ask('ERROR', ['EIO']), 'ENOSYS');
    for (const type of [20, 23, 0xffff, 0xffffffff]) {
      guest.connection.receive(
        encodeMessage({ type, requestId: 5, transactionId: 0, payload: new Uint8Array(0) }),
      );
      assert.deepEqual(decodeStrings(guest.answers.pop()!.payload), ['ENOSYS']);
    }
  });
});

describe('CONTROL', () => {
  it('checks the store, prints, shows quotas and helps', () => {
    const { control, logged } = setUp();
    assert.deepEqual(control.ask('CONTROL', ['check']), ['OK']);
    assert.deepEqual(control.ask('CONTROL', ['print', 'hello']), ['OK']);
    assert.deepEqual(logged, ['control: hello']);
    assert.match(control.ask('CONTROL', ['quota'])[0]!, /^Quota settings:\nnodes +: +1000 /);
    assert.match(control.ask('CONTROL', ['help'])[0]!, /^check\t/);
  });

  it('changes each quota by its own name, and shows it', () => {
    const { control, xenstored } = setUp();
    const names = [...control.ask('CONTROL', ['quota'])[0]!.matchAll(/^([a-z-]+) *:/gm)].map(
      ([, name]) => name!,
    );
    for (const [i, name] of names.entries())
      assert.deepEqual(control.ask('CONTROL', ['quota', 'set', name, `${5000 + i}`]), ['OK']);
    assert.deepEqual(xenstored.quota, {
      nodes: 5000,
      watches: 5001,
      transactions: 5002,
      outstanding: 5003,
      transactionNodes: 5004,
      memory: 5005,
      nodeSize: 5006,
      pathLength: 5007,
      permissions: 5008,
    });
    const shown = control.ask('CONTROL', ['quota'])[0]!;
    for (const [i, name] of names.entries())
      assert.match(shown, new RegExp(`^${name} *: +${5000 + i} [a-z]`, 'm'));
  });

  it('shows what a domain uses', () => {
    const { control, guest } = setUp();
    guest.write('a', 'x');
    guest.ask('WATCH', ['a', 't']);
    guest.begin();
    const used = [...control.ask('CONTROL', ['quota', '3'])[0]!.matchAll(/^(\w+) *: +(\d+)$/gm)];
    // The directory: 15 bytes of path, 24 and a permission, and the name of `a`. Then `a` itself, and the watch on it.
    const memory = 15 + 24 + 8 + 2 + (17 + 24 + 8 + 1) + (17 + 1);
    assert.deepEqual(
      used.map(([, name, value]) => `${name} ${value}`),
      ['nodes 2', 'watches 1', 'transactions 1', 'outstanding 0', `memory ${memory}`],
    );
  });

  it('tells what is wrong with a store', () => {
    const { control, xenstored, logged } = setUp();
    const { store } = xenstored;
    const root = store.read('/')!;
    store.write('/', { ...root, children: [...root.children, 'nobody', 'tool'] });
    store.write('/orphan/deep', { ...root, children: [] });
    assert.equal(control.ask('CONTROL', ['check']), 'EIO');
    const nodes = xenstored.accountOf(0)!.nodes;
    assert.deepEqual(logged, [
      'xenstore: /nobody is a child of its parent but does not exist',
      'xenstore: /tool is listed twice',
      'xenstore: /orphan/deep cannot be reached',
      `xenstore: domain 0 owns ${nodes - 1} nodes, its account says ${nodes}`,
    ]);
  });

  it('changes a quota, from the next request on', () => {
    const { control, guest } = setUp();
    assert.deepEqual(control.ask('CONTROL', ['quota', 'set', 'nodes', '3']), ['OK']);
    assert.equal(guest.write('a', ''), 'OK');
    assert.equal(guest.write('b', ''), 'OK');
    assert.equal(guest.write('c', ''), 'ENOSPC');
  });

  it('refuses what it does not understand', () => {
    const { control } = setUp();
    for (const payload of [
      ['toString'],
      ['nothing'],
      ['quota', 'set', 'nodes', '0'],
      ['quota', 'set', 'x', '1'],
      ['print'],
    ]) {
      assert.equal(control.ask('CONTROL', payload), 'EINVAL', payload.join(' '));
    }
    assert.equal(control.ask('CONTROL', new Uint8Array(0)), 'EINVAL');
    assert.equal(control.ask('CONTROL', ['quota', '99']), 'ENOENT');
  });
});

describe('a stream of random messages', () => {
  it('is answered one by one, and the store stays sound', () => {
    const { xenstored, guest, control } = setUp();
    const random = xorshift(12345);
    const names = Object.keys(MessageType) as (keyof typeof MessageType)[];
    const words = [
      'a',
      'b',
      'a/b',
      '/',
      '',
      '/local/domain/3',
      '/local/domain/4/x',
      '@releaseDomain',
      'T',
      'F',
      'n3',
      'r4',
      '0',
      '3',
    ];
    let errors = 0;
    for (let round = 0; round < 4000; round++) {
      const strings = Array.from({ length: random(4) }, () => words[random(words.length)]!);
      const bytes = encodeStrings(strings);
      const payload = random(5) === 0 ? bytes.subarray(0, random(bytes.length + 1)) : bytes;
      const answer = guest.request(names[random(names.length)]!, payload.slice(), random(6));
      if (answer.type === MessageType.ERROR) errors++;
      assert.ok(answer.payload.length <= 4096);
      assert.doesNotMatch(bytesToText(answer.payload), /undefined|NaN/);
    }
    assert.ok(errors > 1000 && errors < 4000);
    assert.deepEqual(xenstored.audit(), []);
    // Everything that was counted for the guest is given back in the end.
    guest.connection.close();
    control.ask('RM', ['/local/domain/3']);
    const account = { nodes: 0, watches: 0, transactions: 0, outstanding: 0, memory: 0 };
    assert.deepEqual({ ...xenstored.accountOf(3)! }, account);
  });
});

/** A small generator of numbers below a limit, the same in every run. */
function xorshift(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}
