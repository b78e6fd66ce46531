/** `npm start`: the shortest way to a guest. Debian's cloud kernel and a shell; without a network, the built-in guest. */
import { AptError } from './apt.ts';
import { BUILTIN } from './guest-files.ts';
import { PullError } from './pull.ts';
import { type RunSurroundings, run } from './run.ts';

const GUEST = 'debian:cloud';

/** Returns the exit status. */
export async function start(surroundings: RunSurroundings): Promise<number> {
  const { stdin, stderr } = surroundings;
  if (stdin.isTTY === true) stderr.write('ringone: Ctrl-] leaves\n');
  try {
    return await run([GUEST], {}, surroundings);
  } catch (error) {
    if (!(error instanceof PullError || error instanceof AptError)) throw error;
    stderr.write(`ringone: ${error.message}; this is the built-in guest instead\n`);
    return run([BUILTIN], {}, surroundings);
  }
}
