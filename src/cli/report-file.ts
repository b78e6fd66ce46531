/** A file that a run fills at its end. It is opened before, so that a path that leads nowhere costs no run. */
import { type FileHandle, open } from 'node:fs/promises';
import { fileError, type UsageError } from './errors.ts';

export class ReportFile {
  private readonly path: string;
  private readonly file: FileHandle;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.file = file;
  }

  /** Makes the file, or empties it. Raises UsageError. */
  static async open(path: string): Promise<ReportFile> {
    try {
      return new ReportFile(path, await open(path, 'w'));
    } catch (error) {
      throw fileError(path, error);
    }
  }

  /** Writes all of it. Returns the error if that fails, for there is a result of the run by then. */
  async write(text: string): Promise<UsageError | undefined> {
    try {
      try {
        await this.file.writeFile(text);
      } finally {
        await this.file.close();
      }
    } catch (error) {
      return fileError(this.path, error);
    }
    return undefined;
  }
}
