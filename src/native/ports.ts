/**
 * The I/O ports of a bare machine. Every device here is eight bits wide; a wider access is one access for each byte, lowest
 * first, as on an ISA bus. Where nothing answers, reads give ones and writes are lost.
 */

/** Something that answers at some ports. */
export interface PortDevice {
  /** A byte. */
  read(port: number): number;
  write(port: number, value: number): void;
}

const PORTS = 0x10000;
const FLOATING = 0xff;

export class IoPorts {
  private readonly devices = new Map<number, PortDevice>();

  /** Connects `count` ports from `first` on. */
  connect(device: PortDevice, first: number, count = 1): void {
    for (let port = first; port < first + count; port++) this.devices.set(port, device);
  }

  /** `size` bytes, 1, 2 or 4, as an unsigned number. */
  read(port: number, size: number): number {
    let value = 0;
    for (let i = 0; i < size; i++) {
      const at = (port + i) % PORTS;
      value += (this.devices.get(at)?.read(at) ?? FLOATING) * 2 ** (8 * i);
    }
    return value;
  }

  write(port: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) {
      const at = (port + i) % PORTS;
      this.devices.get(at)?.write(at, (value >>> (8 * i)) & 0xff);
    }
  }
}
