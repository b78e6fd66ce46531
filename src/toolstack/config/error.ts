/** The one error that a domain's configuration raises; its message is a single line that names the place and the key. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  /** `where` is a file with its line, or the option that was given. */
  constructor(where: string, reason: string) {
    super(`${where}: ${reason}`);
  }
}
