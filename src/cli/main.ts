/**
 * The `ringone` command: its options, and what becomes of errors. A user's mistake is one line on stderr and status 2; an
 * error of ours keeps its stack.
 */
import { readFileSync } from 'node:fs';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { Host } from '../index.ts';
import { ExitStatus, userMessage } from './errors.ts';
import { makeInitramfs } from './initramfs.ts';
import { collectGarbageLater, tuneJavaScriptEngine } from './javascript-engine.ts';
import { type P2mOptions, p2m } from './p2m.ts';
import { guestNames, pullCommand } from './pull.ts';
import { type RunOptions, type RunSurroundings, run } from './run.ts';
import { start } from './start.ts';
import { delivered, patience } from './terminal.ts';

const ofThisProcess: RunSurroundings = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  createHost: (options) => Host.create(options),
  onSignal(signals, then) {
    for (const signal of signals) process.on(signal, then);
    return () => {
      for (const signal of signals) process.off(signal, then);
    };
  },
  seconds: () => performance.now() / 1000,
  onBuilt: collectGarbageLater,
};

interface InitramfsCommandOptions {
  readonly output: string;
  readonly busybox?: string;
  readonly init?: string;
}

/** The command line; each action leaves its exit status in `finish`. */
function program(surroundings: RunSurroundings, finish: (status: number) => void): Command {
  const ringone = new Command('ringone')
    .description('Boots unmodified Xen PV kernels in a process, without Xen, KVM or root.')
    .version(packageVersion())
    .exitOverride()
    .configureOutput({ outputError: () => {}, writeErr: () => {} });

  ringone
    .command('run')
    .description('boot a guest, with its console on stdin and stdout; on a terminal Ctrl-] leaves')
    .argument(
      '[IMAGE|CONFIG]',
      `a kernel, an xl.cfg file, ${guestNames.join(', ')}, tiny, or builtin (default)`,
    )
    .argument('[key=value...]', 'settings as in an xl.cfg file; they override those of CONFIG')
    .option('--kernel <FILE>', 'the kernel: a bzImage or an ELF file for Xen PV')
    .option('--ramdisk <FILE>', "the kernel's initial RAM disk")
    .option('--extra <STRING>', "the kernel's command line")
    .option('--memory <MIB>', 'memory of the guest (default: 512)')
    .option('--vcpus <N>', 'virtual CPUs (default: 1)')
    .option('--name <STRING>', 'name of the domain')
    .option('--abi <NAME>', 'interface that the kernel was built for: xen, or native for a bare machine')
    .option('--timeout <SECONDS>', 'end the guest after so long, with status 124')
    .option('--clock <host|virtual>', 'real time, or time that follows from the instructions executed')
    .option('--engine <NAME>', 'how to execute guest code: auto (default), interpreter or compiler')
    .option('--no-reboot', 'a guest that reboots ends the run')
    .option('--stats <FILE>', 'write counters and times as JSON', filePath)
    .option('--profile <FILE>', 'write where the guest spends its instructions: for flame graphs', filePath)
    .option('--profile-every <N>', 'instructions between two samples (default: 100003)')
    .option(
      '--symbols <FILE>',
      "a System.map, or an executable's symbols, for --profile; may be given several times",
      (file: string, files: readonly string[] = []) => [...files, filePath(file)],
    )
    .option(
      '--inspect <PLACES>',
      'print what the engine made of the code at addresses or symbols: at the end, and at SIGUSR2',
    )
    .option('--trace <LIST>', 'print what happens: hypercalls,traps,events,page-tables or all')
    .addHelpText(
      'after',
      '\nExit status: 0 powered off, 1 crashed or killed, 2 bad usage or an image that cannot run,\n' +
        '124 timed out, 129, 130 and 143 ended by a signal.',
    )
    .action(async (image: string | undefined, overrides: string[], options: RunOptions) => {
      const words = image === undefined ? overrides : [image, ...overrides];
      finish(await run(words, options, surroundings));
    });

  ringone
    .command('p2m')
    .description("boot a guest, let it run for a while, and draw its kernel's P2M tree")
    .argument('<IMAGE|CONFIG>', 'as for run')
    .argument('[key=value...]', 'as for run')
    .option('--after <SECONDS>', 'how long it runs; 5 if not told, or until it ends')
    .action(async (image: string, overrides: string[], options: P2mOptions) =>
      finish(await p2m([image, ...overrides], options, surroundings)),
    );

  ringone
    .command('pull')
    .description('bring a Debian kernel, its modules and busybox into the cache; print their paths as JSON')
    .argument('<GUEST>', `debian, ${guestNames.join(', ')}`)
    .action(async (guest: string) => finish(await pullCommand(guest)));

  ringone
    .command('initramfs')
    .description('pack a bootable initramfs: busybox, and the contents of directories')
    .requiredOption(
      '-o, --output <FILE>',
      'where to write it; packed with gzip if the name ends in .gz',
      filePath,
    )
    .option('--busybox <FILE>', "a static busybox (default: Debian's, which is pulled)", filePath)
    .option('--init <FILE>', 'what to run as /init (default: a shell)', filePath)
    .argument(
      '[DIR...]',
      'directories whose contents go into the root',
      (directory: string, directories: readonly string[] = []) => [...directories, filePath(directory)],
    )
    .action(async (directories: string[] | undefined, options: InitramfsCommandOptions) => {
      await makeInitramfs({ ...options, directories });
      finish(ExitStatus.ok);
    });

  ringone
    .command('start', { hidden: true })
    .description(
      "boot Debian's cloud kernel to a shell, or the built-in guest where nothing can be downloaded",
    )
    .action(async () => finish(await start(surroundings)));

  return ringone;
}

/** What an option or argument for a file was given; the error names the option. */
function filePath(path: string): string {
  if (path === '') throw new InvalidArgumentError('Expected the path of a file.');
  return path;
}

/**
 * The exit status of a command line, `args` being what follows the command's name. Until it is there, what was printed has
 * been delivered, or given up because the run was interrupted: the process may exit.
 */
export async function main(args: readonly string[]): Promise<number> {
  tuneJavaScriptEngine();
  const { stdout, stderr } = process;
  // A reader that has gone away (`| head`) ends a run by `run` itself, and is no reason for a stack trace.
  for (const output of [stdout, stderr]) output.on('error', () => {});
  let interrupted = false;
  const onInterrupted = () => {
    interrupted = true;
  };
  const status = await statusOf(args, { ...ofThisProcess, onInterrupted });
  const delivery = delivered(stdout, stderr);
  await (interrupted ? Promise.race([delivery, patience()]) : delivery);
  return status;
}

async function statusOf(args: readonly string[], surroundings: RunSurroundings): Promise<number> {
  let status: number = ExitStatus.ok;
  try {
    await program(surroundings, (result) => {
      status = result;
    }).parseAsync(args, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version end in an "error" of status 0.
      if (error.exitCode === 0) return ExitStatus.ok;
      return complain(usageMessage(error));
    }
    const message = userMessage(error);
    if (message === undefined) throw error;
    return complain(message);
  }
  return status;
}

function usageMessage({ message, code }: CommanderError): string {
  if (code === 'commander.help') return 'expected a command; "ringone --help" lists them';
  return message.replace(/^error: /, '').replace(/\n\(?/g, ' (');
}

function complain(message: string): number {
  process.stderr.write(`ringone: ${message.replaceAll('\n', ' ')}\n`);
  return ExitStatus.usage;
}

function packageVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
