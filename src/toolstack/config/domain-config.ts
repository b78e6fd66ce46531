/**
 * What a domain shall be: xl's keys (Xen 4.17, docs/man/xl.cfg.5.pod.in), checked and given their defaults.
 *
 * Each key that we take stands in one table with its check. A key of xl's that is not supported yet, or a value of one,
 * is an error that names it: a guest that silently lacks its disk helps nobody. Read past is only what makes no
 * difference to a PV guest under xl either. xl reads past whatever it does not know; here that is an error too.
 */
import { oneLine, quoted, quotedValue } from '../quoted.ts';
import { ConfigError } from './error.ts';
import type { XlSetting, XlSettings, XlValue } from './xl-syntax.ts';

/** What becomes of a domain that has ended: it goes, it is built again, or it stays for inspection. */
export const EXIT_ACTIONS = ['destroy', 'restart', 'preserve'] as const;
export type ExitAction = (typeof EXIT_ACTIONS)[number];

/** A domain's configuration. Files are paths as they were given. */
export interface DomainConfig {
  readonly name: string;
  /** Lower case with hyphens; undefined: one that follows from the domain's number. */
  readonly uuid: string | undefined;
  /** Undefined if nothing names one. */
  readonly kernel: string | undefined;
  readonly ramdisk: string | undefined;
  /** The kernel's command line. */
  readonly commandLine: string;
  readonly memoryMib: number;
  /** At least `memoryMib`. */
  readonly maxMemoryMib: number;
  /** The guest shall see a PC's memory map. */
  readonly e820Host: boolean;
  readonly vcpus: number;
  readonly onPoweroff: ExitAction;
  readonly onReboot: ExitAction;
  readonly onWatchdog: ExitAction;
  readonly onCrash: ExitAction;
}

export const DEFAULT_NAME = 'guest';
export const DEFAULT_MEMORY_MIB = 512;

/** Keys of xl's that are known, and that a later version may take. */
const NOT_YET = words(
  'disk vif vif2 vfb pci usbctrl usbdev channel vtpm p9 pvcalls vkb vsnd vdispl virtio dtdev',
  'device_tree bootloader bootloader_args driver_domain device_model_override device_model_version',
  'bootloader_restrict bootloader_user firmware device_model device_model_user dm_restrict',
  'device_model_args device_model_args_pv device_model_args_hvm',
  'device_model_stubdomain_override device_model_stubdomain_seclabel',
  'stubdomain_kernel stubdomain_cmdline stubdomain_ramdisk stubdomain_memory',
  'maxvcpus cpus cpus_soft vnuma cpu_weight cap period slice latency extratime pool cpuid vpmu nestedhvm',
  'iomem ioports irqs rdm max_grant_frames max_maptrack_frames max_grant_version',
  'pci_permissive pci_msitranslate pci_seize pci_power_mgmt gfx_passthru passthrough',
  'max_event_channels xenstore_feature_mask xenstore_quota on_soft_reset seclabel init_seclabel',
  'vmtrace_buf_kb nomigrate localtime rtc_timeoffset tsc_mode timer_mode msr_relaxed xend_suspend_evtchn_compat',
  'pvh pvshim pvshim_path pvshim_cmdline pvshim_extra',
  'vnc vnclisten vncdisplay vncunused vncpasswd vncviewer sdl opengl display xauthority keymap',
  'spice spicehost spiceport spicetls_port spicedisable_ticketing spicepasswd spiceagent_mouse spicevdagent',
  'spice_clipboard_sharing spiceusbredirection spice_image_compression spice_streaming_video',
  'serial soundhw usb usbversion usbdevice vkb_device vendor_device',
  'gic_version vuart sve llc_colors nr_spis trap_unmapped_accesses arm_sci tee',
);

/** Of these, the ones that ask for nothing by 0: switches that are off, and amounts of something extra. */
const OFF_BY_ZERO = words(
  'driver_domain bootloader_restrict dm_restrict device_model_stubdomain_override cap extratime vpmu nestedhvm',
  'pci_permissive pci_msitranslate pci_seize pci_power_mgmt gfx_passthru xend_suspend_evtchn_compat vmtrace_buf_kb',
  'nomigrate localtime rtc_timeoffset tsc_mode msr_relaxed pvh pvshim trap_unmapped_accesses nr_spis',
  'vnc vncunused vncviewer sdl opengl spice spicedisable_ticketing spiceagent_mouse spicevdagent',
  'spice_clipboard_sharing spiceusbredirection usb vkb_device',
);

/** Keys for the firmware, paging and platform that xl builds for HVM and PVH guests. A PV guest has none of these. */
const FOR_OTHER_GUESTS = words(
  'hap oos shadow_memory pae acpi acpi_s3 acpi_s4 acpi_laptop_slate apic nx hpet vpt_align',
  'altp2m altp2mhvm altp2m_count boot hdtype bios bios_path_override firmware_override',
  'acpi_firmware smbios_firmware smbios ms_vm_genid mmio_hole rdm_mem_boundary mca_caps viridian hvm_pirq',
  'xen_platform_pci xen_platform_pci_bar_uc videoram stdvga vga nographic',
);

function words(...lines: readonly string[]): ReadonlySet<string> {
  return new Set(lines.join(' ').split(' '));
}

class Reader {
  private readonly settings: XlSettings;

  constructor(settings: XlSettings) {
    this.settings = settings;
  }

  text(key: string): string | undefined {
    return this.read(key, 'a string or a number', (value) => (typeof value === 'string' ? value : undefined));
  }

  positive(key: string): number | undefined {
    const expected = 'a positive whole number';
    // What has grown by its text is no number, though it may look like one.
    if (this.settings.get(key)?.appended) throw this.error(key, `expected = and ${expected}, found +=`);
    return this.read(key, expected, (value) => {
      const number = typeof value === 'string' ? wholeNumber(value) : undefined;
      return number !== undefined && Number.isSafeInteger(number) && number > 0 ? number : undefined;
    });
  }

  /** A switch: on by anything but 0. */
  flag(key: string): boolean {
    const read = (value: XlValue) => (typeof value === 'string' ? wholeNumber(value) : undefined);
    return (this.read(key, '0 or 1', read) ?? 0) !== 0;
  }

  oneOf<T extends string>(key: string, choices: readonly T[]): T | undefined {
    return this.read(key, list(choices), (value) => choices.find((choice) => choice === value));
  }

  /** The error about a key that is there. */
  error(key: string, reason: string): ConfigError {
    return settingError(this.settings.get(key)!, reason);
  }

  private read<T>(key: string, expected: string, check: (value: XlValue) => T | undefined): T | undefined {
    const setting = this.settings.get(key);
    if (setting === undefined) return undefined;
    const value = check(setting.value);
    if (value === undefined) {
      throw settingError(setting, `expected ${expected}, found ${shown(setting.value)}`);
    }
    return value;
  }
}

/** As C's strtol reads it in base 0: decimal, or octal behind a 0, or hexadecimal behind 0x. */
function wholeNumber(text: string): number | undefined {
  const [, octal, other] = /^\s*\+?(?:0([0-7]+)|(0[xX][0-9a-fA-F]+|0|[1-9][0-9]*))$/.exec(text) ?? [];
  if (octal !== undefined) return Number.parseInt(octal, 8);
  return other === undefined ? undefined : Number(other);
}

/** A value as it was written, or nearly so: a number has no quotes. */
function shown(value: XlValue): string {
  return typeof value === 'string' && /^[0-9][0-9a-fA-FxX]*$/.test(value)
    ? oneLine(value)
    : quotedValue(value);
}

/** The names that `readDomainConfig` understands. */
const KEYS = new Set([
  'name',
  'uuid',
  'type',
  'builder',
  'kernel',
  'ramdisk',
  'cmdline',
  'root',
  'extra',
  'memory',
  'maxmem',
  'e820_host',
  'vcpus',
  'on_poweroff',
  'on_reboot',
  'on_watchdog',
  'on_crash',
]);

/**
 * Checks settings and gives them their meaning; later maps override earlier ones. Raises ConfigError for a key or a
 * value that is unknown or not supported yet.
 */
export function readDomainConfig(...layers: readonly XlSettings[]): DomainConfig {
  const settings = new Map<string, XlSetting>(layers.flatMap((layer) => [...layer]));
  const reader = new Reader(settings);
  // First, for what another kind of guest has needs no complaints of its own.
  checkKind(reader);
  for (const setting of settings.values()) checkKey(setting);

  const memoryMib = reader.positive('memory') ?? DEFAULT_MEMORY_MIB;
  const maxMemoryMib = reader.positive('maxmem') ?? memoryMib;
  if (maxMemoryMib < memoryMib) {
    throw reader.error('maxmem', `expected at least the ${memoryMib} of memory, found ${maxMemoryMib}`);
  }
  const vcpus = reader.positive('vcpus') ?? 1;
  if (vcpus > 1) throw reader.error('vcpus', `${vcpus} vCPUs are not supported yet; expected 1`);
  const name = reader.text('name') ?? DEFAULT_NAME;
  if (!/^[\w.:+-]+$/.test(name)) {
    throw reader.error('name', `expected letters, digits and any of _.:+- in it, found ${quoted(name)}`);
  }
  return {
    name,
    uuid: readUuid(reader),
    kernel: reader.text('kernel'),
    ramdisk: reader.text('ramdisk'),
    commandLine: readCommandLine(reader),
    memoryMib,
    maxMemoryMib,
    e820Host: reader.flag('e820_host'),
    vcpus,
    onPoweroff: readAction(reader, 'on_poweroff') ?? 'destroy',
    onReboot: readAction(reader, 'on_reboot') ?? 'restart',
    onWatchdog: readAction(reader, 'on_watchdog') ?? 'destroy',
    onCrash: readAction(reader, 'on_crash') ?? 'destroy',
  };
}

function checkKey(setting: XlSetting): void {
  const { key, value } = setting;
  if (KEYS.has(key) || FOR_OTHER_GUESTS.has(key)) return;
  if (!NOT_YET.has(key)) throw settingError(setting, 'there is no such key');
  // An empty list asks for nothing.
  if (Array.isArray(value) && value.length === 0) return;
  if (OFF_BY_ZERO.has(key) && typeof value === 'string' && wholeNumber(value) === 0) return;
  throw settingError(setting, 'not supported yet');
}

/** `type`, and the older `builder` that it replaced. */
function checkKind(reader: Reader): void {
  const type = reader.oneOf('type', ['pv', 'pvh', 'hvm']);
  if (type !== undefined && type !== 'pv')
    throw reader.error('type', `"${type}" is not supported; expected "pv"`);
  const builder = reader.oneOf('builder', ['generic', 'linux', 'hvm']);
  if (builder === 'hvm') throw reader.error('builder', '"hvm" is not supported; expected "generic"');
}

/** `cmdline` is all of it; `root` and `extra` are the older way to say it, and count only without. */
function readCommandLine(reader: Reader): string {
  const whole = reader.text('cmdline');
  const root = reader.text('root');
  const extra = reader.text('extra');
  if (whole !== undefined) return whole;
  return [root === undefined ? undefined : `root=${root}`, extra]
    .filter((part) => part !== undefined)
    .join(' ');
}

function readUuid(reader: Reader): string | undefined {
  const uuid = reader.text('uuid')?.toLowerCase();
  if (uuid !== undefined && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) {
    throw reader.error('uuid', `expected 8-4-4-4-12 hexadecimal digits, found ${quoted(uuid)}`);
  }
  return uuid;
}

function readAction(reader: Reader, key: string): ExitAction | undefined {
  const action = reader.text(key);
  if (action === undefined) return undefined;
  const known = EXIT_ACTIONS.find((choice) => choice === action);
  if (known !== undefined) return known;
  const later = ['rename-restart', 'coredump-destroy', 'coredump-restart', 'soft-reset'].includes(action);
  const problem = later ? `"${action}" is not supported yet` : `there is no action ${quoted(action)}`;
  throw reader.error(key, `${problem}; expected ${list(EXIT_ACTIONS)}`);
}

function settingError({ key, where }: XlSetting, reason: string): ConfigError {
  // "memory=x: …" names its key already, and so does "--memory: …"; what is long was cut in both.
  const name = oneLine(key);
  const named = where === name || where.startsWith(`${key}=`) || where === `--${key}`;
  return new ConfigError(where, named ? reason : `${name}: ${reason}`);
}

function list(choices: readonly string[]): string {
  const quoted = choices.map((choice) => `"${choice}"`);
  return `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
}
