/** `ringone p2m`: boots a guest, lets it run for a while, and draws its P2M as it is then. */
import { ExitStatus } from './errors.ts';
import { findGuest } from './guest-files.ts';
import { domainOptions, hostFor, positive, type RunSurroundings } from './run.ts';

/** The options of `p2m`, as written on the command line. */
export interface P2mOptions {
  readonly after?: string | undefined;
}

const USUAL_SECONDS = 5;

/** Returns the exit status. Raises the user's errors. What the guest prints is not shown. */
export async function p2m(
  words: readonly string[],
  options: P2mOptions,
  { stdout, createHost }: RunSurroundings,
): Promise<number> {
  const seconds = options.after === undefined ? USUAL_SECONDS : positive('--after', options.after);
  const guest = await findGuest(words, {});
  const host = await hostFor(guest, createHost);
  const domain = await host.createDomain(domainOptions({ ...guest, abi: 'xen' }));
  const drained = [domain.console.readable, domain.emergencyConsole].map((stream) =>
    stream.pipeTo(new WritableStream()),
  );
  const running = host.run();
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise((resolve) => {
    timer = setTimeout(resolve, seconds * 1000);
  });
  await Promise.race([enough, domain.exited]);
  clearTimeout(timer);
  stdout.write(`${domain.p2m().join('\n')}\n`);
  domain.destroy();
  host.stop();
  await Promise.all([running, ...drained]);
  return ExitStatus.ok;
}
