/**
 * The one error that reading a kernel image raises. Its message is a single line that names the file and the
 * reason, ready to be shown to a person.
 */

/**
 * A file that cannot be used as a guest kernel: truncated, corrupt, of an unsupported kind, or not for Xen
 * PV.
 */
export class ImageError extends Error {
  /** The name the caller gave to the bytes, usually a path. */
  readonly file: string;

  constructor(file: string, reason: string) {
    super(`${file}: ${reason}`);
    this.name = 'ImageError';
    this.file = file;
  }
}
