/** The options of `run` that have a guest profiled, and the text that comes of it. */
import { readFile } from 'node:fs/promises';
import type { ProfileFormat, ProfileOptions } from '../toolstack/api.ts';
import { fileError, UsageError } from './errors.ts';

export interface ProfileCommandOptions {
  readonly profile?: string | undefined;
  readonly profileEvery?: string | undefined;
  readonly symbols?: readonly string[] | undefined;
}

/** Fewer instructions between two samples would do little but sample. */
const LEAST_INTERVAL = 100;

/**
 * What the host is to do; undefined without `--profile`. Raises UsageError for files that cannot be read, and for options that
 * would change nothing.
 */
export async function profileOptions(options: ProfileCommandOptions): Promise<ProfileOptions | undefined> {
  const { profile, profileEvery, symbols = [] } = options;
  if (profile === undefined) {
    const vain = profileEvery !== undefined ? '--profile-every' : '--symbols';
    if (profileEvery !== undefined || symbols.length > 0)
      throw new UsageError(`${vain}: expected --profile FILE with it`);
    return undefined;
  }
  const symbolFiles = await Promise.all(
    symbols.map(async (name) => {
      try {
        return { name, bytes: await readFile(name) };
      } catch (error) {
        throw fileError(name, error);
      }
    }),
  );
  return { symbolFiles, ...(profileEvery !== undefined && { interval: intervalOf(profileEvery) }) };
}

function intervalOf(text: string): number {
  const interval = Number(text);
  if (Number.isSafeInteger(interval) && interval >= LEAST_INTERVAL) return interval;
  throw new UsageError(
    `--profile-every ${text}: expected a whole number of instructions, ${LEAST_INTERVAL} at least`,
  );
}

/** The form that a file's name asks for. */
function profileFormat(file: string): ProfileFormat {
  if (file.endsWith('.cpuprofile')) return 'cpuprofile';
  return file.endsWith('.json') ? 'speedscope' : 'collapsed';
}

/** The profile of a host that was made with one, as the file's name asks for it. */
export function profileText(
  file: string,
  host: { profile(format: ProfileFormat): string | undefined },
): string {
  return host.profile(profileFormat(file)) ?? '';
}
