import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { XenstoreError } from './wire.ts';
import { Xenstored } from './xenstored.ts';

function refuses(name: string) {
  return (error: unknown) => error instanceof XenstoreError && error.errorName === name;
}

describe('a client in this process', () => {
  it('reads, writes, lists and removes', () => {
    const client = new Xenstored().client();
    client.write('/a/b', 'text ä');
    client.write('/a/c', new Uint8Array([1, 2, 3]));
    assert.equal(client.readText('/a/b'), 'text ä');
    assert.deepEqual(client.read('/a/c'), new Uint8Array([1, 2, 3]));
    assert.deepEqual(client.directory('/a'), ['b', 'c']);
    client.rm('/a/b');
    assert.equal(client.findText('/a/b'), undefined);
    assert.throws(() => client.readText('/a/b'), refuses('ENOENT'));
    client.mkdir('relative');
    assert.deepEqual(client.directory('/local/domain/0'), ['relative']);
  });

  it('owns its copy of a value', () => {
    const client = new Xenstored().client();
    const value = new Uint8Array([1]);
    client.write('/a', value);
    value[0] = 2;
    client.read('/a')[0] = 3;
    assert.deepEqual(client.read('/a'), new Uint8Array([1]));
  });

  it('finds the three nodes of an empty store', () => {
    const client = new Xenstored().client();
    assert.deepEqual(client.directory('/'), ['tool']);
    assert.equal(client.readText('/tool/xenstored'), '');
    assert.deepEqual(client.getPermissions('/'), ['n0']);
  });

  it('writes nothing that a guest could not read in one answer', () => {
    const client = new Xenstored().client();
    client.write('/a', new Uint8Array(4093));
    assert.throws(() => client.write('/a', new Uint8Array(4094)), refuses('E2BIG'));
  });

  it('speaks for a guest with the rights of the guest', () => {
    const xenstored = new Xenstored();
    xenstored.createDomain(5);
    const guest = xenstored.client(5);
    assert.throws(() => guest.write('/a', ''), refuses('EACCES'));
    xenstored.client().mkdir('/local/domain/5');
    assert.throws(() => guest.write('a', ''), refuses('EACCES'));
    xenstored.client().setPermissions('/local/domain/5', ['n0', 'b5']);
    guest.write('a', '');
    assert.deepEqual(guest.getPermissions('a'), ['n5', 'b5']);
  });

  it('hears of changes, first at once, and after its own', () => {
    const client = new Xenstored().client();
    const seen: string[] = [];
    client.watch('/a', (path) => seen.push(path));
    assert.deepEqual(seen, ['/a']);
    client.write('/a/b', '');
    assert.deepEqual(seen, ['/a', '/a/b']);
  });

  it('may change the store in a callback, which is never called inside another', () => {
    const client = new Xenstored().client();
    const order: string[] = [];
    client.watch('/request', () => {
      order.push('begin');
      if (client.findText('/request') === 'go') client.write('/answer', 'done');
      order.push('end');
    });
    client.watch('/answer', () => order.push(client.findText('/answer') ?? 'none'));
    client.write('/request', 'go');
    assert.deepEqual(order, ['begin', 'end', 'none', 'begin', 'end', 'done']);
  });

  it('may stop a watch from inside the callback, and hears nothing more', () => {
    const client = new Xenstored().client();
    let calls = 0;
    client.watch('/a', (_path, subscription) => {
      if (++calls === 2) subscription.stop();
    });
    for (let i = 0; i < 5; i++) client.write('/a', `${i}`);
    assert.equal(calls, 2);
  });

  it('stays usable when a callback raises', () => {
    const client = new Xenstored().client();
    const stop = client.watch('/a', () => {
      if (client.findText('/a') === 'bad') throw new Error('in the callback');
    });
    assert.throws(() => client.write('/a', 'bad'), /in the callback/);
    stop.stop();
    client.write('/a', 'good');
    assert.equal(client.readText('/a'), 'good');
  });

  it('commits a transaction again when somebody interferes', () => {
    const xenstored = new Xenstored();
    const client = xenstored.client();
    client.write('/count', '1');
    let attempts = 0;
    const result = client.transact((view) => {
      const count = Number(view.readText('/count'));
      if (++attempts === 1) client.write('/count', '10');
      view.write('/count', `${count + 1}`);
      return count;
    });
    assert.deepEqual([attempts, result, client.readText('/count')], [2, 10, '11']);
  });

  it('gives up after a number of attempts', () => {
    const client = new Xenstored().client();
    client.write('/a', '');
    let attempts = 0;
    const interfere = () =>
      client.transact((view) => {
        view.read('/a');
        client.write('/a', `${++attempts}`);
      });
    assert.throws(interfere, refuses('EAGAIN'));
    assert.equal(attempts, 8);
  });

  it('drops a transaction whose function raises', () => {
    const xenstored = new Xenstored();
    const client = xenstored.client();
    const attempt = () =>
      client.transact((view) => {
        view.write('/a', '');
        throw new Error('no');
      });
    assert.throws(attempt, /no/);
    assert.equal(client.findText('/a'), undefined);
    assert.equal(xenstored.accountOf(0)!.transactions, 0);
    const transaction = client.begin();
    transaction.abort();
    assert.throws(() => transaction.commit(), refuses('ENOENT'));
  });

  it('leaves nothing behind when it is closed', () => {
    const xenstored = new Xenstored();
    const client = xenstored.client();
    let calls = 0;
    client.watch('/a', () => calls++);
    client.begin().write('/b', '');
    client.close();
    xenstored.client().write('/a', '');
    assert.equal(calls, 1);
    const { watches, transactions } = xenstored.accountOf(0)!;
    assert.deepEqual({ watches, transactions }, { watches: 0, transactions: 0 });
  });
});
