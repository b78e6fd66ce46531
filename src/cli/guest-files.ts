/**
 * From the words of the command line to a domain: which kernel, which ramdisk, which settings. A word may be a kernel's
 * file, a configuration file (told apart by content), `debian:6.1` and its like, or the name of a guest that is built in.
 */
import { readFile } from 'node:fs/promises';
import { builtinGuest } from '../guest/builtin.ts';
import { buildTinyGuest } from '../guest/tiny/guest.ts';
import {
  type DomainConfig,
  parseXlFile,
  parseXlOverride,
  readDomainConfig,
  type XlSetting,
  type XlSettings,
} from '../toolstack/config/index.ts';
import { buildBusyboxInitramfs } from '../toolstack/initramfs.ts';
import { fileError, UsageError } from './errors.ts';
import { progressBar } from './progress.ts';
import { debianKernel, guestNames, pullDebian } from './pull.ts';

/** Names of the guests that need no file: our own kernel, and the smallest one that answers. */
export const BUILTIN = 'builtin';
export const TINY = 'tiny';

/** Keys of a configuration that are options too. */
const OPTION_KEYS = ['kernel', 'ramdisk', 'extra', 'memory', 'vcpus', 'name'] as const;

export type ConfigOptions = { readonly [key in (typeof OPTION_KEYS)[number]]?: string | undefined };

/** A domain to run, its files read. */
export interface Guest {
  readonly config: DomainConfig;
  readonly kernel: Uint8Array;
  readonly kernelName: string;
  readonly ramdisk: Uint8Array | undefined;
  readonly ramdiskName: string | undefined;
  /** What says how much memory it may have: an option, or a key and the place where it stands. */
  readonly memoryWhere: string;
  /** Nobody named a kernel, so this is the built-in one. */
  readonly isDefault: boolean;
}

/** Files that an IMAGE brings along, unless the settings name others. */
interface Brought {
  readonly kernel: Uint8Array;
  readonly kernelName: string;
  readonly ramdisk?: Uint8Array;
  readonly ramdiskName?: string;
}

/**
 * `words` are IMAGE or CONFIG, if any, and `key=value` words. Settings count in this order: the CONFIG file, `key=value`
 * words, options. Where neither names a kernel it is the built-in guest. Raises UsageError, ConfigError and PullError.
 */
export async function findGuest(words: readonly string[], options: ConfigOptions): Promise<Guest> {
  const isOverride = (word: string) => /^[A-Za-z_][A-Za-z0-9_]*=/.test(word);
  const [image, ...rest] = words.filter((word) => !isOverride(word));
  if (rest.length > 0)
    throw new UsageError(`expected one IMAGE or CONFIG, found ${image} and ${rest.join(', ')}`);
  const given = settingsOf([
    ...words.filter(isOverride).map(parseXlOverride),
    ...OPTION_KEYS.flatMap((key) => optionSetting(key, options[key])),
  ]);

  const isDefault = image === undefined && !given.has('kernel');
  const found = isDefault
    ? await openNamed(BUILTIN)
    : image === undefined
      ? undefined
      : await openImage(image);
  const settings = found !== undefined && 'settings' in found ? found.settings : new Map<string, XlSetting>();
  const brought = found !== undefined && 'kernel' in found ? found : undefined;
  const config = readDomainConfig(settings, given);
  const settingOf = (key: string) => given.get(key) ?? settings.get(key);
  for (const key of ['kernel', 'ramdisk'] as const) {
    if (config[key] === '')
      throw new UsageError(`${placeOf(settingOf(key)!)}: expected the path of a file, found ""`);
  }
  if (brought !== undefined && config.kernel !== undefined) {
    throw new UsageError(
      `${image} is a kernel, and ${given.get('kernel')!.where} names another; expected one`,
    );
  }
  if (brought === undefined && config.kernel === undefined)
    throw new UsageError(`${image}: no kernel: expected kernel = "FILE"`);
  const kernelName = brought?.kernelName ?? config.kernel!;
  const ramdiskName = config.ramdisk ?? brought?.ramdiskName;
  const memory = settingOf('maxmem') ?? settingOf('memory');
  return {
    config,
    memoryWhere: memory === undefined ? `--memory ${config.memoryMib} (the default)` : placeOf(memory),
    kernelName,
    kernel: brought?.kernel ?? (await read(kernelName)),
    ramdiskName,
    ramdisk: config.ramdisk === undefined ? brought?.ramdisk : await read(config.ramdisk),
    isDefault,
  };
}

function settingsOf(settings: readonly XlSetting[]): Map<string, XlSetting> {
  return new Map(settings.map((setting) => [setting.key, setting]));
}

/** An option is a setting whose place is the option itself; numbers are checked where all settings are. */
function optionSetting(key: string, value: string | undefined): XlSetting[] {
  return value === undefined ? [] : [{ key, value, where: `--${key}` }];
}

/** How errors call a setting: an option or a word of the command line names its key already. */
function placeOf({ key, where }: XlSetting): string {
  return where === `--${key}` || where.startsWith(`${key}=`) ? where : `${where}: ${key}`;
}

async function openImage(name: string): Promise<Brought | { readonly settings: XlSettings }> {
  if (name === '')
    throw new UsageError('IMAGE: expected the path of a file or the name of a guest, found ""');
  let bytes: Uint8Array;
  try {
    bytes = await readFile(name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      const known = await openNamed(name);
      if (known !== undefined) return known;
    }
    throw fileError(name, error);
  }
  if (!isText(bytes)) return { kernel: bytes, kernelName: name };
  return { settings: parseXlFile(new TextDecoder().decode(bytes), name) };
}

/** A guest that goes by a name instead of a file; undefined if there is none of that name. */
async function openNamed(name: string): Promise<Brought | undefined> {
  if (name === TINY) return { kernel: buildTinyGuest(), kernelName: TINY };
  if (name === BUILTIN) return { kernel: await builtinGuest(), kernelName: BUILTIN };
  if (name !== 'debian' && !name.startsWith('debian:')) return undefined;
  const which = debianKernel(name);
  if (which === undefined) throw new UsageError(`${name}: no such guest; expected ${guestNames.join(', ')}`);
  const notice = (line: string) => process.stderr.write(`ringone: ${line}\n`);
  const pulled = await pullDebian(which, { progress: progressBar(), notice });
  return {
    kernel: await read(pulled.kernel),
    kernelName: pulled.kernel,
    ramdisk: buildBusyboxInitramfs({ busybox: await read(pulled.busybox) }),
    ramdiskName: `busybox ${pulled.busybox}`,
  };
}

/**
 * Whether a file is a configuration: text from its first to its last byte. Kernels begin with 0x7f (ELF), 0x1f (gzip)
 * or "MZ" and have zeros soon after; an empty file is neither, and is called what it was given as.
 */
function isText(bytes: Uint8Array): boolean {
  if (bytes.length === 0 || bytes.includes(0)) return false;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what tells text from other things
    return !/[\x01-\x08\x0e-\x1f\x7f]/.test(text);
  } catch {
    return false;
  }
}

async function read(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw fileError(path, error);
  }
}
