/** From a kernel image to a bare machine whose serial port has someone at the other end. */
import type { Host } from '../hypervisor/host.ts';
import { buildMachine, type NativeDomain } from '../native/index.ts';
import type { NativeImage } from './images/index.ts';
import type { ConsoleEnd, Launched } from './launch.ts';

export interface NativeLaunchOptions {
  readonly name: string;
  readonly kernel: NativeImage;
  readonly ramdisk?: Uint8Array | undefined;
  readonly commandLine: string;
  readonly memoryMib: number;
  /** Milliseconds since 1970 at the host's start. */
  readonly wallClockMs: number;
  /** What the guest prints on its serial port. */
  readonly onOutput: (bytes: Uint8Array) => void;
  /** The console takes input again after it had refused some. */
  readonly onDrain: () => void;
  /** What it writes to port 0xe9: whole lines. */
  readonly onEmergencyOutput: (line: Uint8Array) => void;
}

/** Builds a machine and lets it go. Raises MachineBuildError. */
export function launchNative(host: Host, options: NativeLaunchOptions): Launched {
  const domain: NativeDomain = buildMachine(host, options);
  const { serial } = domain.board;
  const console: ConsoleEnd = {
    write: (bytes) => serial.type(bytes),
    pauseOutput: () => serial.pauseOutput(),
    resumeOutput: () => serial.resumeOutput(),
  };
  domain.unpause();
  return {
    domain,
    console,
    conclude: () => domain.board.flush(),
    destroy: () => domain.destroy(),
  };
}
