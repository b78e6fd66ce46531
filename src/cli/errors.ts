/**
 * Which errors are the user's to mend. These become one line on stderr and exit status 2; anything else is a fault of
 * ours and keeps its stack trace.
 */
import { OutOfFramesError } from '../hypervisor/frames.ts';
import { MemoryError } from '../machine/memory.ts';
import { MachineBuildError } from '../native/index.ts';
import { ConfigError } from '../toolstack/config/index.ts';
import { CpioError } from '../toolstack/cpio.ts';
import { ImageError } from '../toolstack/images/index.ts';
import { DomainBuildError } from '../xen/builder/index.ts';
import { AptError } from './apt.ts';
import { reasonOf } from './file-reasons.ts';
import { InitramfsError } from './initramfs.ts';
import { PullError } from './pull.ts';

/** Exit statuses of the command. */
export const ExitStatus = {
  ok: 0,
  /** The guest crashed, or was killed. */
  crashed: 1,
  usage: 2,
  timeout: 124,
  interrupted: 130,
  terminated: 143,
} as const;

/** Options that make no sense, or a file that cannot be read. The message names the option or the file. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const USER_ERRORS = [
  UsageError,
  ConfigError,
  ImageError,
  CpioError,
  MemoryError,
  OutOfFramesError,
  DomainBuildError,
  MachineBuildError,
  AptError,
  PullError,
  InitramfsError,
] as const;

/** The line for the user, or undefined if the error is not the user's. */
export function userMessage(error: unknown): string | undefined {
  return USER_ERRORS.some((kind) => error instanceof kind) ? (error as Error).message : undefined;
}

/** An error of the file system about `path`, as a line for the user. */
export function fileError(path: string, error: unknown): UsageError {
  return new UsageError(`${path}: ${reasonOf(error)}`);
}
