/** The library as its users meet it, with the guest that is built in. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import {
  buildTinyGuest,
  builtinGuest,
  type Domain,
  Host,
  type HostOptions,
  ImageError,
  TRACE_KINDS,
} from '../src/index.ts';

const kernel = buildTinyGuest();

async function text(stream: ReadableStream<Uint8Array>): Promise<string> {
  let all = '';
  for await (const chunk of stream) all += Buffer.from(chunk).toString('latin1');
  return all;
}

/** A host that runs one tiny guest, and the domain. */
async function boot(options: Partial<HostOptions> = {}, commandLine = ''): Promise<[Host, Domain]> {
  const host = await Host.create({ memoryMib: 32, clock: 'virtual', ...options });
  return [host, await host.createDomain({ kernel, memoryMib: 32, commandLine })];
}

async function type(domain: Domain, ...lines: string[]): Promise<void> {
  const writer = domain.console.writable.getWriter();
  for (const line of lines) await writer.write(new TextEncoder().encode(`${line}\r`));
  writer.releaseLock();
}

describe('the library', () => {
  it('boots a guest, talks to it, and sees it power off', async () => {
    const [host, domain] = await boot({}, 'one two');
    const output = text(domain.console.readable);
    const running = host.run();
    await type(domain, 'args', 'anything else', 'halt');
    assert.deepEqual(await domain.exited, { reason: 'poweroff' });
    await running;
    assert.equal(
      await output,
      'ringone: hello from the tiny guest. Type help.\r\n> args\r\none two\r\n' +
        '> anything else\r\nanything else\r\n> halt\r\n',
    );
  });

  it('says how much memory a host can have, and takes so much', async () => {
    const message = /^(\d+) MiB of memory wanted, but a host can have at most (\d+) MiB$/;
    const most = (memoryMib: number) =>
      Host.create({ memoryMib }).then(
        () => undefined,
        (error: Error) => message.exec(error.message)?.slice(1).map(Number) ?? error,
      );
    const [, mib] = (await most(9000)) as [number, number];
    assert.deepEqual(await most(mib + 1), [mib + 1, mib]);
    const least = await most(mib);
    // The machine may be too small for it.
    if (least !== undefined) assert.match((least as Error).message, /this JavaScript engine cannot give/);
  });

  it('works under either clock', async () => {
    for (const clock of ['host', 'virtual'] as const) {
      const [host, domain] = await boot({ clock });
      const running = host.run();
      await type(domain, 'reboot');
      assert.equal((await domain.exited).reason, 'reboot');
      await running;
    }
  });

  it('gives whole lines of the emergency console, and both streams end with the domain', async () => {
    const [host, domain] = await boot();
    const running = host.run();
    await type(domain, 'log', 'halt');
    assert.equal(await text(domain.emergencyConsole), 'the tiny guest is well\n');
    assert.match(await text(domain.console.readable), /halt\r\n$/);
    await running;
  });

  it('reports a crash with the place and its name', async () => {
    const [host, domain] = await boot();
    const running = host.run();
    await type(domain, 'crash');
    const { reason, report } = await domain.exited;
    await running;
    assert.equal(reason, 'crash');
    assert.match(report!.reason, /#UD/);
    assert.deepEqual(domain.symbols.nearest(report!.rip), { name: 'do_crash', offset: 0 });
    // The instruction with what stands before it, and the place that called on the stack.
    const { code, codeStart, rip, stack, retired } = report!;
    assert.deepEqual([rip - codeStart, ...code.subarray(16, 18)], [16, 0x0f, 0x0b]);
    assert.equal(domain.symbols.nearest(stack[0]!.high * 2 ** 32 + (stack[0]!.low >>> 0))!.name, 'take');
    assert.equal(retired, host.statistics().instructions);
  });

  it('counts what the guest did', async () => {
    const [host, domain] = await boot();
    const running = host.run();
    await type(domain, 'halt');
    await domain.exited;
    await running;
    const { instructions, hypercalls, exits, engine } = host.statistics();
    assert.ok(instructions > 1000);
    const { interpreter, compiled, system } = engine.instructions;
    assert.equal(interpreter + compiled + system, instructions);
    assert.ok(interpreter > 0 && compiled >= 0);
    assert.equal(hypercalls.update_va_mapping, 1);
    assert.equal(
      exits.syscall,
      Object.values(hypercalls).reduce((sum, count) => sum + count),
    );
  });

  it('traces the kinds that were asked for, and no others', async () => {
    const lines: string[] = [];
    const trace = { kinds: ['hypercalls'] as const, onLine: (line: string) => lines.push(line) };
    const [host, domain] = await boot({ trace });
    const running = host.run();
    await type(domain, 'halt');
    await domain.exited;
    await running;
    assert.match(lines[0]!, /^d1v0 update_va_mapping\(/);
    assert.match(lines.at(-1)!, /^d1v0 sched_op\(SCHEDOP_shutdown, /);
    assert.ok(
      lines.every((line) => /^d1v0 [a-z_]+\(/.test(line)),
      lines.join('\n'),
    );
  });

  it('traces each kind by itself', async () => {
    const found: Record<string, string[]> = {};
    for (const kind of TRACE_KINDS) {
      const lines = new Set<string>();
      const onLine = (line: string) => void lines.add(/^d1v0 ([a-z_]+( 14|\()?)/.exec(line)?.[1] ?? line);
      const host = await Host.create({ memoryMib: 32, clock: 'virtual', trace: { kinds: [kind], onLine } });
      const domain = await host.createDomain({ kernel: await builtinGuest(), memoryMib: 32 });
      void text(domain.console.readable);
      const typing = type(domain, 'run hello\rhalt');
      await host.run();
      await typing;
      found[kind] = [...lines];
    }
    assert.ok(found.hypercalls!.length > 10 && found.hypercalls!.every((word) => word.endsWith('(')));
    assert.deepEqual(found.traps, ['trap 14']);
    assert.deepEqual(found.events!.sort(), ['port', 'upcall']);
    assert.deepEqual(found['page-tables']!.sort(), ['mmu_update', 'mmuext_op', 'update_va_mapping']);
  });

  it('says what the engine compiled, and who executed what', async () => {
    for (const engine of ['interpreter', 'compiler'] as const) {
      const [host, domain] = await boot({ engine });
      void text(domain.console.readable);
      const typing = type(domain, 'help\rhalt');
      await host.run();
      await typing;
      const { instructions, engine: counts } = host.statistics();
      const { kind, share, modules, functions, wasmBytes, compileMilliseconds, regions } = counts;
      assert.equal(kind, engine);
      const { interpreter, compiled } = counts.instructions;
      assert.deepEqual(share, { interpreter: interpreter / instructions, compiled: compiled / instructions });
      assert.equal(regions.compiled, functions);
      if (engine === 'interpreter') {
        assert.equal(interpreter, instructions);
        assert.deepEqual([modules, functions, wasmBytes, compileMilliseconds], [0, 0, 0, 0]);
      } else {
        assert.ok(interpreter < compiled && compiled < instructions);
        assert.ok(functions > 1 && wasmBytes > 100 * functions && compileMilliseconds > 0);
        assert.ok(modules > 0 && regions.requested >= regions.compiled);
      }
    }
  });

  it('runs several domains on one host, each with its own console', async () => {
    const host = await Host.create({ memoryMib: 64, clock: 'virtual' });
    const domains = [];
    for (const commandLine of ['first', 'second']) {
      domains.push(await host.createDomain({ kernel, memoryMib: 32, commandLine }));
    }
    const running = host.run();
    for (const domain of domains) await type(domain, 'args', 'halt');
    const outputs = await Promise.all(domains.map((domain) => text(domain.console.readable)));
    await running;
    assert.match(outputs[0]!, /first/);
    assert.match(outputs[1]!, /second/);
  });

  it('holds a paused domain, and lets it go on', async () => {
    const [host, domain] = await boot();
    domain.pause();
    const running = host.run();
    await type(domain, 'halt');
    assert.equal(host.statistics().instructions, 0);
    domain.unpause();
    assert.equal((await domain.exited).reason, 'poweroff');
    await running;
  });

  it('has nothing to show of a domain that is gone', async () => {
    const [host, domain] = await boot();
    const running = host.run();
    await type(domain, 'halt');
    await domain.exited;
    assert.match(domain.inspect('put')[0]!, /^[0-9a-f]{16} <put\+0x0>: /);
    domain.destroy();
    await running;
    assert.deepEqual(domain.inspect('put'), ['"put": the guest is gone']);
    assert.deepEqual(domain.p2m(), ['the guest is gone']);
  });

  it('gives the memory of a destroyed domain to the next one', async () => {
    const host = await Host.create({ memoryMib: 32, clock: 'virtual' });
    for (let round = 0; round < 3; round++) {
      const domain = await host.createDomain({ kernel, memoryMib: 32 });
      const running = host.run();
      domain.destroy();
      assert.equal((await domain.exited).reason, 'destroyed');
      await running;
    }
  });

  it('refuses a kernel that is none, and a domain that does not fit, in one line each', async () => {
    const host = await Host.create({ memoryMib: 32 });
    const nothing = new Uint8Array(100);
    await assert.rejects(host.createDomain({ kernel: nothing, kernelName: 'zeros' }), (error: unknown) => {
      assert.ok(error instanceof ImageError);
      return /^zeros: not a kernel image[^\n]*$/.test(error.message);
    });
    await assert.rejects(host.createDomain({ kernel, memoryMib: 64 }), /^[^\n]*too little memory[^\n]*$/i);
    await assert.rejects(host.createDomain({ kernel, memoryMib: 1 }), /^[^\n]*too little memory[^\n]*$/i);
    const domain = await host.createDomain({ kernel, memoryMib: 32 });
    domain.destroy();
  });

  it('has examples that run', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--import',
      'tsx',
      'examples/conversation.ts',
    ]);
    assert.match(stdout, /64 MiB[\s\S]*The guest has ended: poweroff/);
  });
});

describe('the virtual clock', () => {
  it('makes two runs alike, byte for byte and instruction for instruction', async () => {
    const runs = [];
    for (let round = 0; round < 2; round++) {
      const [host, domain] = await boot();
      const output = text(domain.console.readable);
      const typing = type(domain, 'help\rmemory\rhalt');
      await host.run();
      await typing;
      // When code gets compiled depends on real time, and shows nowhere else.
      const { engine: _, ...counts } = host.statistics();
      runs.push([await output, counts]);
    }
    assert.deepEqual(runs[0], runs[1]);
  });

  it('has a System.map name the places of a profile, before the kernel’s own symbols', async () => {
    const [, { symbols }] = await boot();
    const put = BigInt.asUintN(64, BigInt(symbols.addressOf('put')!)).toString(16);
    const map = `ffffffff80000000 T _text\n${put} T from_the_map\n`;
    const symbolFiles = [{ name: 'System.map', bytes: new TextEncoder().encode(map) }];
    const [host, domain] = await boot({ profile: { interval: 97, symbolFiles } });
    void text(domain.console.readable);
    const typing = type(domain, 'help\rhalt');
    await host.run();
    await typing;
    const profile = host.profile('collapsed')!;
    assert.match(profile, /^guest;from_the_map_\[k\] \d+$/m);
    assert.doesNotMatch(profile, /put/);
  });

  it('samples the same places each time, and the guest does not notice', async () => {
    const profiles = [];
    const counts = [];
    for (const profile of [{ interval: 97 }, { interval: 97 }, undefined]) {
      const [host, domain] = await boot({ ...(profile && { profile }) });
      void text(domain.console.readable);
      const typing = type(domain, 'help\rmemory\rhalt');
      await host.run();
      await typing;
      const { instructions, hypercalls } = host.statistics();
      profiles.push(host.profile('collapsed'));
      counts.push([instructions, hypercalls]);
    }
    assert.equal(profiles[1], profiles[0]);
    assert.equal(profiles[2], undefined);
    assert.deepEqual(counts[0], counts[2]);
    assert.deepEqual(counts[1], counts[2]);
    const samples = [...profiles[0]!.matchAll(/^guest;(\S+_\[k\]) (\d+)$/gm)];
    const total = samples.reduce((sum, [, , count]) => sum + Number(count), 0);
    assert.equal(total, Math.floor((counts[0]![0] as number) / 97));
    assert.ok(
      samples.some(([, name]) => name === 'put_[k]'),
      profiles[0],
    );
  });
});
