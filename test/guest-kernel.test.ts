/**
 * The project's own kernel (src/guest/kernel): booted on each interface that a host has, from one image, and typed to. The
 * programs that it carries are Linux programs too, as far as they go, and are run by this machine's Linux to compare.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { buildKernel, buildKernelFrom, buildProgram } from '../src/guest/testing/build.ts';
import { type AbiName, type DomainExit, type DomainOptions, Host } from '../src/index.ts';
import { bootOnXen, realXen } from './real-xen.ts';

interface Session {
  readonly exit: DomainExit;
  /** What the console showed, "\r\n" as "\n". */
  readonly text: string;
  readonly instructions: number;
  /** Its hypercalls. */
  readonly traced: readonly string[];
}

/** A line for a prompt, or keys for when the console shows a text. */
type Line = string | [shown: string, keys: string];

/** Without a kernel of its own it is the project's. */
type BootOptions = Omit<DomainOptions, 'kernel'> & { readonly kernel?: Uint8Array };

/** Boots the kernel, types each line at a prompt, or keys when the console shows a text, and waits for the end. */
async function boot(options: BootOptions, ...lines: Line[]): Promise<Session> {
  const traced: string[] = [];
  const trace = { kinds: ['hypercalls'] as const, onLine: (line: string) => void traced.push(line) };
  const host = await Host.create({ memoryMib: options.memoryMib! + 64, clock: 'virtual', trace });
  const domain = await host.createDomain({ kernel: await buildKernel('1'), ...options });
  const writer = domain.console.writable.getWriter();
  const waiting = [...lines];
  const running = host.run();
  let text = '';
  // Somebody else's words may come behind a prompt, so prompts are counted.
  let answered = 0;
  const nextKeys = () => {
    const [next] = waiting;
    if (next === undefined) return undefined;
    if (typeof next !== 'string') return text.endsWith(next[0]) ? next[1] : undefined;
    return text.split('\n> ').length - 1 > answered && ++answered ? `${next}\r` : undefined;
  };
  for await (const bytes of domain.console.readable) {
    text += Buffer.from(bytes).toString('latin1');
    const keys = nextKeys();
    if (keys === undefined) continue;
    waiting.shift();
    await writer.write(new TextEncoder().encode(keys));
  }
  const exit = await domain.exited;
  await running;
  const { instructions } = host.statistics();
  return { exit, text: text.replaceAll('\r\n', '\n'), instructions, traced };
}

function type(abi: AbiName, ...lines: Line[]): Promise<Session> {
  return boot({ abi, memoryMib: 32 }, ...lines);
}

/** What a command printed: the lines between it and the next prompt. */
function answer({ text }: Session, command: string): string {
  const from = text.indexOf(`> ${command}\n`);
  assert.ok(from >= 0, `${command}: not in ${text}`);
  const to = text.indexOf('\n> ', from);
  return text.slice(from + command.length + 3, to < 0 ? undefined : to + 1);
}

const FAMILY =
  'zeros: 0\nchild finds: 64\nand has: 194\nchild ended: 7\nparent still has: 65\n' +
  'hello from a program; hello hello\nthe other ended: 0\n';

for (const abi of ['xen', 'native'] as const) {
  describe(`the kernel on ${abi}`, () => {
    let session: Session;
    before(async () => {
      session = await type(
        abi,
        'help',
        'ps',
        'free',
        'run hello one two',
        'run family',
        'run fault',
        'run primes 4000 &',
        'run primes 3000',
        'run sleep 30',
        'uptime',
        'pgtable ffffffff80100000',
        'p2m',
        'evtchn',
        'hypercalls',
        'nonsense',
        'run memory 20',
        'run memory 40',
        'run memory 20',
        'free',
        'halt',
      );
    });

    it('boots, says where it is, and powers off when told', () => {
      assert.equal(session.exit.reason, 'poweroff');
      assert.match(session.text, abi === 'xen' ? /paravirtualized above Xen/ : /on the bare machine/);
      assert.match(session.text, /^31 MiB|^30 MiB/m);
      assert.match(answer(session, 'nonsense'), /no such command/);
    });

    it('starts programs with their words', () => {
      assert.match(answer(session, 'help'), /run PROGRAM.*hello.*primes/);
      assert.equal(answer(session, 'run hello one two'), 'hello from a program; hello one two\n');
    });

    it('shares pages with a child until one writes, runs another program in it, and hears how it ended', () => {
      assert.equal(answer(session, 'run family'), FAMILY);
    });

    it('ends a program that touches what is not its own, and nothing else', () => {
      assert.match(
        answer(session, 'run fault'),
        /reading address 8\nfault: trap 14, error 4, address 8, .*\nstatus 139/,
      );
    });

    it('lets tasks run side by side', () => {
      assert.match(session.text, /550 primes below 4000/);
      assert.match(session.text, /430 primes below 3000/);
      const [, ticks, switches] = /(\d+) ticks, (\d+) switches/.exec(answer(session, 'uptime'))!;
      assert.ok(Number(ticks) > 0 && Number(switches) > 10, answer(session, 'uptime'));
    });

    it('maps memory when somebody needs it, and ends who wants more than there is', () => {
      assert.equal(answer(session, 'run memory 20'), '20 MiB are well\n');
      assert.equal(answer(session, 'run memory 40'), 'memory: no memory is left\nstatus 137\n');
      assert.equal(session.text.match(/20 MiB are well/g)?.length, 2);
    });

    it('has all memory back when programs have ended, but for tables to map it', () => {
      const free = [...session.text.matchAll(/ {2}free +(\d+) KiB/g)].map(([, kib]) => Number(kib));
      assert.equal(free.length, 2);
      // A page for each 2 MiB.
      assert.ok(free[0]! - free[1]! <= 16 * 4, `${free}`);
    });

    it('runs programs side by side after memory has run out as before', async () => {
      const run = await type(
        abi,
        'run memory 40',
        'run sleep 3000 &',
        'run sleep 3000 &',
        'run family',
        'halt',
      );
      assert.equal(answer(run, 'run family'), FAMILY);
    });

    it('takes the right to write away in batches when a program forks', () => {
      const updates = session.traced.filter((line) => /mmu_update\(0x\w+, 64,/.test(line));
      assert.equal(updates.length > 0, abi === 'xen', updates[0]);
    });

    it('walks its own tables', () => {
      const levels = answer(session, 'pgtable ffffffff80100000');
      assert.match(levels, /^level 4 +511 .*\nlevel 3 +510 .*\nlevel 2 +0 /);
      assert.match(levels, abi === 'xen' ? /level 1 +256 .* frame 100 writable/ : /large\n$/);
    });

    it('knows what only a Xen guest has', () => {
      if (abi === 'native') {
        assert.equal(answer(session, 'p2m'), 'there is no Xen below\n');
        return;
      }
      assert.match(answer(session, 'p2m'), /^0 to 1fff +memory, the first is machine frame/);
      assert.match(answer(session, 'evtchn'), /interdomain .*domain 0\n[\s\S]*virq +virtual interrupt 0/);
      const [, batches, calls] = /(\d+) batches of together (\d+) calls, 0 refused/.exec(
        answer(session, 'hypercalls'),
      )!;
      assert.ok(Number(calls) > Number(batches));
    });

    it('counts its hypercalls by name, as the host does', () => {
      const said = answer(session, 'hypercalls');
      if (abi === 'native') {
        assert.equal(said, 'there is no Xen below\n');
        return;
      }
      const counts = Object.fromEntries(
        [...said.matchAll(/^ *(\d+) {2}(\w+)$/gm)].map(([, count, name]) => [name, Number(count)]),
      );
      // The host has seen all of them when the command measures what one costs: the first of many in a row.
      const names = session.traced.flatMap((line) => /^\S+ (\w+)\(.*\) = /.exec(line)?.[1] ?? []);
      const measured = names.findIndex((_, i) =>
        names.slice(i, i + 100).every((name) => name === 'xen_version'),
      );
      const heard: Record<string, number> = {};
      for (const name of names.slice(0, measured)) heard[name] = (heard[name] ?? 0) + 1;
      // Printing the list takes some more of these two.
      for (const name of ['event_channel_op', 'xen_version']) {
        assert.ok(counts[name]! > 0 && counts[name]! <= heard[name]!, `${name}: ${said}`);
        heard[name] = counts[name]!;
      }
      assert.deepEqual(counts, heard);
      for (const name of [
        'multicall',
        'stack_switch',
        'update_va_mapping',
        'memory_op',
        'vcpu_op',
        'sched_op',
      ])
        assert.ok(counts[name]! > 0, `${name}: ${said}`);
    });

    it('edits lines, and remembers them', async () => {
      const { text } = await type(
        abi,
        'nope\x7f\x7fn\x1b[D\x1b[D\x1b[Da\x05!', // "nope", "non", "anon!"
        '\x1b[A',
        'junk\x15halt',
      );
      assert.equal(text.match(/anon!: no such command/g)?.length, 2, text);
    });

    it('moves in a line, takes away what stands before, under and behind, and goes back eight lines', async () => {
      const [left, right, home, end, remove, up, down] = ['[D', '[C', '[H', '[F', '[3~', '[A', '[B'].map(
        (keys) => `\x1b${keys}`,
      );
      const { text } = await type(
        abi,
        `xrun${home}${remove}${end} hello 1`,
        `rum${left}${remove}n${right} hello 2zz${left}${left}\x0b`, // ^K
        `zzrun hello 3${home}${right}${right}\x15`, // ^U
        'rubbish\x03run hello 4',
        `run hello 5${up}${up}${down}${down}run hello 6`,
        ...Array.from({ length: 7 }, (_, i) => `run hello ${i + 7}`),
        up!.repeat(9),
        `${up!.repeat(3)}\x0e`, // ^N
        'halt',
      );
      const heard = [...text.matchAll(/^hello from a program; hello (.*)$/gm)].map(([, words]) => words);
      assert.deepEqual(heard, ['1', '2', '3', '4', '6', '7', '8', '9', '10', '11', '12', '13', '6', '13']);
    });

    it('does nothing with a line that is too long, or has too many words', async () => {
      const words = (count: number) => 'run hello'.padEnd(9 + 2 * (count - 2), ' x');
      const bytes = (count: number) => 'run hello '.padEnd(count, 'x');
      const lines = [words(16), words(17), `${words(16)} &`, bytes(127), `${bytes(127)}y`];
      const typed = await type(abi, ...lines, `${bytes(130)}\x7f\x7f`, 'halt');
      const script = await boot({ abi, memoryMib: 32, commandLine: `shell=${[...lines, 'halt'].join(';')}` });
      for (const { text } of [typed, script]) {
        const [, ...answers] = text.split('\n> ').map((shown) => shown.slice(shown.indexOf('\n') + 1));
        assert.deepEqual(answers.slice(0, 5), [
          `hello from a program; hello${' x'.repeat(14)}`,
          'expected at most 16 words; nothing was done',
          'expected at most 16 words; nothing was done',
          `hello from a program; hello ${'x'.repeat(117)}`,
          'expected at most 127 characters; nothing was done',
        ]);
      }
      // Who takes characters away has seen where the line ended.
      assert.ok(typed.text.includes(`hello ${'x'.repeat(115)}\n`), typed.text);
    });

    it('lets nobody but the shell and the program in the foreground read', async () => {
      // Both lines at once: the shell is still busy with the second when the program asks for a line.
      const { text } = await type(abi, 'run echo &\rrun sleep 30', 'run echo', ['ends it\r\n', '\r'], 'halt');
      assert.match(text, /echo: an empty line ends it\necho: cannot read here\n> run echo\n/);
      assert.match(text, /> run echo\necho: an empty line ends it\n\n> halt\n/);
    });

    it('ends a program at Ctrl-C, or when told, whatever it does', async () => {
      const { text, exit } = await type(
        abi,
        'run echo',
        ['ends it\r\n', 'word\r'],
        ['word\r\nword\r\n', '\x03'],
        'run primes 100000000 &',
        'kill 3',
        'ps',
        'halt',
      );
      assert.match(text, /word\nword\nstatus 130\n> /);
      assert.match(text, /task 3\n> kill 3\n> ps\n/);
      assert.doesNotMatch(text.slice(text.lastIndexOf('> ps')), /primes/);
      assert.equal(exit.reason, 'poweroff');
    });

    it('panics with the chain of callers, and the host hears of a crash', async () => {
      const { text, exit } = await type(abi, 'panic');
      assert.match(
        text,
        /panic: the shell was asked for it\n[\s\S]* kernel\/shell\/shell\/shell\+\d+\n[\s\S]*runThread/,
      );
      assert.equal(exit.reason, 'crash');
    });

    it('starts in less than a million instructions, whatever the memory', async () => {
      const runs = [await boot({ abi, memoryMib: 32 }, 'halt'), await boot({ abi, memoryMib: 1000 }, 'halt')];
      for (const { instructions } of runs) assert.ok(instructions < 1e6, `${instructions}`);
    });
  });
}

const notLinux = process.platform === 'linux' && process.arch === 'x64' ? false : 'this is no x86-64 Linux';

/** What Linux says to a program that tries the system calls. */
const CALLS = `the stack is aligned: 0
words: 2
and nothing behind them: 0
write to no file: -9
write nothing to 2: 0
write from nowhere: -14
write what is the kernel's: -14
write from the last page: -14
read from no file: -9
map nothing: -22
map nobody knows how: -22
map too much: -12
map where it is wanted: 0
map where something is: 0
a byte more is a page more: 0
unmap from the middle of a page: -22
unmap: 0
write what was unmapped: -14
the others are there: 2
and can be written: 3
map there again: 0
zeros: 0
a grandchild adds 1 to 5, a child has both: 56
and the parent its own: 5
wait for no child: -10
wait for somebody else: -10
the second child: 0
its status: 1024
any child: 0
its status: 65024
without a place for the status: 0
it is gone: -10
a program that is not there: -2
a name that is not there: -14
words that are not there: -14
a word that is not there: -14
sleep a second of nanoseconds: -22
sleep nobody knows how long: -14
time to nowhere: -14
sleep: 0
not too short: 0
give way: 0
an unknown call: -38
`;

/** The project's kernel with other programs. */
async function kernelWith(...programs: string[]): Promise<Uint8Array> {
  const files = [];
  for (const source of programs)
    files.push({ name: basename(source), bytes: await buildProgram(`${source}.ts`) });
  return buildKernelFrom('src/guest/kernel/main.ts', { name: 'ringone', version: '1', files });
}

describe('the figures of the shell', () => {
  const heldAt: Line = ['held\r\n', '\r'];
  /** A number behind a word, in KiB. */
  const amount = (text: string, what: string) =>
    Number(new RegExp(`^ *${what} +(\\d+) KiB$`, 'm').exec(text)![1]);

  for (const abi of ['xen', 'native'] as const) {
    it(`are those of tasks and memory as they are (${abi})`, async () => {
      const kernel = await kernelWith(
        ...['user/testing/holds', 'user/memory', 'user/primes', 'user/sleep'].map(
          (name) => `src/guest/${name}`,
        ),
      );
      const session = await boot(
        { abi, memoryMib: 32, kernel },
        // Somebody always runs, or time would go on to the end of all sleep while nobody types.
        'run primes 100000000 &',
        ...(['run holds 10 1 &', heldAt, 'run holds 30 1 &', heldAt, 'run holds 10 100 &', heldAt] as const),
        ...['run sleep 100', 'run memory 20', 'ps', 'free'],
        ...['pgtable 3 10000000', 'pgtable 10000000', 'pgtable 3 1000000g', 'pgtable a 10000000', 'halt'],
      );
      const tasks = [
        ...answer(session, 'ps').matchAll(/^ *(\d+) (\w+) +(\d+) +(\d+) +([\d.]+) +(\w+)$/gm),
      ].map(([, number, state, pages, tables, seconds, name]) => ({
        number: Number(number),
        is: `${state} ${name}`,
        pages: Number(pages),
        tables: Number(tables),
        seconds: Number(seconds),
      }));
      assert.deepEqual(
        tasks.map(({ is }) => is),
        ['ready idle', 'running shell', 'ready primes', 'sleeps holds', 'sleeps holds', 'sleeps holds'],
      );
      const [, , primes, first, second, third] = tasks;
      assert.equal(second!.pages - first!.pages, 20);
      assert.equal(third!.pages, first!.pages, 'what was given back does not count');
      assert.equal(third!.tables, first!.tables);
      assert.ok(primes!.seconds > 0.02 && first!.seconds < primes!.seconds, session.text);

      const free = answer(session, 'free');
      assert.equal(amount(free, 'memory'), amount(free, 'free') + amount(free, 'used'));
      // A table for each 2 MiB that was not mapped at the start.
      const mapped = amount(free, 'to map memory') / 4;
      assert.ok(abi === 'xen' ? mapped >= 9 && mapped <= 11 : mapped === 0, free);
      assert.ok(amount(free, 'image') >= amount(free, 'data') + amount(free, 'code'));

      assert.match(
        answer(session, 'pgtable 3 10000000'),
        /^level 4 +0 .*\nlevel 3 +0 .*\nlevel 2 +128 .*\nlevel 1 +0 .* writable user dirty\n$/,
      );
      assert.match(answer(session, 'pgtable 10000000'), /^level 4 +0 +0 nothing\n$/, "the kernel's own");
      assert.match(answer(session, 'pgtable 3 1000000g'), /^pgtable: expected an address/);
      assert.match(answer(session, 'pgtable a 10000000'), /^pgtable: expected the number of a task/);
    });
  }
});

describe('the system calls of the kernel', () => {
  it('answer what Linux answers, and refuse what it refuses', async () => {
    const files = [];
    for (const [name, source] of [
      ['hello', 'src/guest/user/hello.ts'],
      ['calls', 'src/guest/user/testing/calls.ts'],
    ] as const)
      files.push({ name, bytes: await buildProgram(source) });
    const kernel = await buildKernelFrom('src/guest/kernel/main.ts', {
      name: 'ringone',
      version: '1',
      files,
    });
    for (const abi of ['xen', 'native'] as const) {
      const session = await boot({ abi, memoryMib: 32, kernel }, 'run calls once', 'halt');
      assert.equal(answer(session, 'run calls once'), CALLS);
    }
  });
});

describe('programs of the kernel', { skip: notLinux }, () => {
  it('do the same on Linux, whose system calls ours are', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ringone-programs-'));
    try {
      for (const name of ['family', 'hello', 'primes'])
        writeFileSync(join(folder, name), await buildProgram(`src/guest/user/${name}.ts`), { mode: 0o755 });
      const run = (name: string, ...words: string[]) =>
        spawnSync(join(folder, name), words, { cwd: folder, argv0: name, encoding: 'utf8' });
      assert.equal(run('family').stdout, FAMILY);
      assert.equal(run('hello', 'one', 'two').stdout, 'hello from a program; hello one two\n');
      assert.equal(run('primes', '3000').stdout, '430 primes below 3000\n');
      writeFileSync(join(folder, 'calls'), await buildProgram('src/guest/user/testing/calls.ts'), {
        mode: 0o755,
      });
      assert.equal(run('calls', 'once').stdout, CALLS);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

const GDB = ['-nx', '-batch'];

function skipGdb(): string | false {
  if (spawnSync('gdb', ['--version']).error === undefined) return false;
  if (process.env.RINGONE_REQUIRE_GUESTS === '1') throw new Error('expected gdb to be installed');
  return 'gdb is not installed';
}

describe('the kernel in a debugger', { skip: skipGdb() }, () => {
  it('has its functions by name, and names the places that its own panic named', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ringone-gdb-'));
    try {
      const file = join(folder, 'kernel');
      writeFileSync(file, await buildKernel('1'));
      const { text } = await type('native', 'panic');
      const callers = [...text.matchAll(/^ {2}([0-9a-f]{16}) (kernel\/\S+)\+(\d+)$/gm)];
      const commands = ["break 'kernel/main/xenStart'", ...callers.map(([, at]) => `info symbol 0x${at}`)];
      const words = [...GDB, ...commands.flatMap((command) => ['-ex', command]), file];
      const [breakpoint, ...places] = spawnSync('gdb', words, { encoding: 'utf8' }).stdout.trim().split('\n');
      assert.match(breakpoint!, /^Breakpoint 1 at 0xffffffff801[0-9a-f]{5}$/);
      assert.ok(callers.length > 2, text);
      assert.deepEqual(
        places,
        callers.map(([, , name, offset]) => `${name} + ${offset} in section .text`),
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

const xen = await realXen();

/** Without anybody at the keyboard the kernel does what its command line says. */
const SCRIPT = 'shell=run hello;run family;run memory 40;run fault;free;hypercalls;halt';

describe('the kernel on a Xen that is not ours', () => {
  it("does the same on Debian's Xen", { skip: xen.skip }, async () => {
    const lines = await bootOnXen(xen.files!, await buildKernel('1'), SCRIPT);
    const text = lines.filter((line) => line !== '').join('\n');
    assert.match(text, /paravirtualized above Xen/);
    assert.ok(text.includes(FAMILY), text);
    assert.match(text, /40 MiB are well/);
    assert.match(text, /calls, 0 refused/);
    assert.match(text, /\d {2}update_va_mapping$/m);
    assert.match(text, /reading address 8\nfault: trap 14, error 4, address 8/);
  });
});
