import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readDomainConfig } from './domain-config.ts';
import { parseXlFile, parseXlOverride } from './xl-syntax.ts';

function read(text: string, ...overrides: string[]) {
  const words = overrides.map((word) => parseXlOverride(word));
  return readDomainConfig(
    parseXlFile(text, 'g.cfg'),
    new Map(words.map((setting) => [setting.key, setting])),
  );
}

describe('a domain configuration', () => {
  it("has xl's defaults", () => {
    assert.deepEqual(read(''), {
      name: 'guest',
      uuid: undefined,
      kernel: undefined,
      ramdisk: undefined,
      commandLine: '',
      memoryMib: 512,
      maxMemoryMib: 512,
      e820Host: false,
      vcpus: 1,
      onPoweroff: 'destroy',
      onReboot: 'restart',
      onWatchdog: 'destroy',
      onCrash: 'destroy',
    });
  });

  it('takes every key that is supported', () => {
    const config = read(`
      type = "pv"; builder = "generic"; name = "web-1"; uuid = "01234567-89AB-cdef-0123-456789abcdef"
      kernel = "/boot/k"; ramdisk = "/boot/r"; memory = "256"; maxmem = 512; vcpus = 1; disk = []
      on_poweroff = "preserve"; on_reboot = "destroy"; on_crash = "restart"; on_watchdog = "restart"`);
    assert.deepEqual(config, {
      name: 'web-1',
      uuid: '01234567-89ab-cdef-0123-456789abcdef',
      kernel: '/boot/k',
      ramdisk: '/boot/r',
      commandLine: '',
      memoryMib: 256,
      maxMemoryMib: 512,
      e820Host: false,
      vcpus: 1,
      onPoweroff: 'preserve',
      onReboot: 'destroy',
      onWatchdog: 'restart',
      onCrash: 'restart',
    });
  });

  it('takes a number for a string and a string for a number, as xl does', () => {
    const config = read(
      'name = 5; extra=1; memory="0x40"; maxmem = 0x80; vcpus = "01"; on_crash = \'destroy\'',
    );
    assert.deepEqual(
      [config.name, config.commandLine, config.memoryMib, config.maxMemoryMib, config.vcpus],
      ['5', '1', 64, 128, 1],
    );
    assert.equal(read('kernel = 0x10').kernel, '0x10');
    assert.equal(read('memory = 0100').memoryMib, 64);
    assert.equal(read('memory = " +64"').memoryMib, 64);
    assert.equal(read('extra = "a="\nextra += 0x1').commandLine, 'a=0x1');
    assert.equal(read('', 'memory=0x40').memoryMib, 64);
  });

  it('makes the command line of root and extra, unless cmdline says all of it', () => {
    assert.equal(read('root="/dev/xvda1 ro"\nextra="quiet"').commandLine, 'root=/dev/xvda1 ro quiet');
    assert.equal(read('extra="quiet"').commandLine, 'quiet');
    assert.equal(read('root="/dev/xvda1"\nextra="quiet"\ncmdline="x"').commandLine, 'x');
    assert.equal(read('extra="quiet"\ncmdline=""').commandLine, '');
  });

  it('gives a memory map to who asks for one', () => {
    assert.deepEqual(
      ['', 'e820_host = 0', 'e820_host = 1', 'e820_host = "1"'].map((text) => read(text).e820Host),
      [false, false, true, true],
    );
    assert.throws(() => read('e820_host = "yes"'), {
      message: 'g.cfg:1: e820_host: expected 0 or 1, found "yes"',
    });
  });
  it('knows every key of xl.cfg(5), and says of those that change a PV guest that they are not supported yet', () => {
    const keys = `
      disk vif vif2 vfb vkb vtpm vsnd vdispl virtio p9 pvcalls channel pci usbctrl usbdev dtdev rdm ioports iomem irqs
      pci_permissive pci_msitranslate pci_seize pci_power_mgmt gfx_passthru passthrough driver_domain device_tree
      pool maxvcpus cpus cpus_soft cpu_weight cap period slice latency extratime vnuma cpuid vpmu nestedhvm
      max_grant_frames max_maptrack_frames max_grant_version max_event_channels xenstore_feature_mask xenstore_quota
      on_soft_reset firmware bootloader bootloader_args bootloader_restrict bootloader_user
      pvh pvshim pvshim_path pvshim_cmdline pvshim_extra seclabel init_seclabel nomigrate vmtrace_buf_kb
      localtime rtc_timeoffset tsc_mode timer_mode msr_relaxed xend_suspend_evtchn_compat
      vnc vnclisten vncdisplay vncunused vncpasswd vncviewer sdl opengl display xauthority keymap
      spice spicehost spiceport spicetls_port spicedisable_ticketing spicepasswd spiceagent_mouse spicevdagent
      spice_clipboard_sharing spiceusbredirection spice_image_compression spice_streaming_video
      serial soundhw usb usbversion usbdevice vkb_device vendor_device
      device_model device_model_version device_model_override device_model_user dm_restrict
      device_model_args device_model_args_pv device_model_args_hvm
      device_model_stubdomain_override device_model_stubdomain_seclabel
      stubdomain_kernel stubdomain_cmdline stubdomain_ramdisk stubdomain_memory
      gic_version vuart sve llc_colors nr_spis trap_unmapped_accesses arm_sci tee`;
    for (const key of keys.trim().split(/\s+/)) {
      assert.throws(() => read(`${key} = "1"`), { message: `g.cfg:1: ${key}: not supported yet` });
    }
  });

  it('reads past what xl reads past for a PV guest: the firmware, paging and platform of others', () => {
    const keys = `
      hap oos shadow_memory pae acpi acpi_s3 acpi_s4 acpi_laptop_slate apic nx hpet vpt_align altp2m altp2mhvm
      altp2m_count boot hdtype bios bios_path_override firmware_override acpi_firmware smbios_firmware smbios
      ms_vm_genid mmio_hole rdm_mem_boundary mca_caps viridian hvm_pirq xen_platform_pci xen_platform_pci_bar_uc
      videoram stdvga vga nographic`;
    for (const key of keys.trim().split(/\s+/)) assert.deepEqual(read(`${key} = 1`), read(''));
  });

  it('takes a device or a switch that is turned off', () => {
    assert.deepEqual(
      read('disk = []; vnc = 0; sdl = "0"; localtime = 0x0; nomigrate = 0; cap = 0; usb = 0'),
      read(''),
    );
    assert.throws(() => read('vcpus = 0'));
    assert.throws(() => read('tsc_mode = 0; cpus = 0'), { message: 'g.cfg:1: cpus: not supported yet' });
  });

  it('names the kind of guest before what only that kind has', () => {
    assert.throws(() => read('vnc = 1\nbuilder = "hvm"'), {
      message: 'g.cfg:2: builder: "hvm" is not supported; expected "generic"',
    });
  });

  it('is overridden by what comes later', () => {
    const config = read('memory = 64\nname = "a"', 'memory=128', 'extra=console=hvc0');
    assert.equal(config.memoryMib, 128);
    assert.equal(config.name, 'a');
    assert.equal(config.commandLine, 'console=hvc0');
  });

  for (const [text, message] of [
    ['\ndisk = ["x"]', 'g.cfg:2: disk: not supported yet'],
    ['vif = [""]', 'g.cfg:1: vif: not supported yet'],
    ['colour = 1', 'g.cfg:1: colour: there is no such key'],
    ['vcpus = 2', 'g.cfg:1: vcpus: 2 vCPUs are not supported yet; expected 1'],
    ['vcpus = 0', 'g.cfg:1: vcpus: expected a positive whole number, found 0'],
    ['memory = "much"', 'g.cfg:1: memory: expected a positive whole number, found "much"'],
    ['memory = 64\nmaxmem = 32', 'g.cfg:2: maxmem: expected at least the 64 of memory, found 32'],
    ['type = "hvm"', 'g.cfg:1: type: "hvm" is not supported; expected "pv"'],
    ['type = 1', 'g.cfg:1: type: expected "pv", "pvh" or "hvm", found 1'],
    ['builder = "hvm"', 'g.cfg:1: builder: "hvm" is not supported; expected "generic"'],
    ['kernel = [5]', 'g.cfg:1: kernel: expected a string or a number, found ["5"]'],
    ['memory = [5]', 'g.cfg:1: memory: expected a positive whole number, found ["5"]'],
    ['memory = "0x"', 'g.cfg:1: memory: expected a positive whole number, found 0x'],
    ['memory = 08', 'g.cfg:1: memory: expected a positive whole number, found 08'],
    ['memory = "-5"', 'g.cfg:1: memory: expected a positive whole number, found "-5"'],
    ['memory = "64 "', 'g.cfg:1: memory: expected a positive whole number, found "64 "'],
    ['memory = ""', 'g.cfg:1: memory: expected a positive whole number, found ""'],
    [
      'memory = 99999999999999999999',
      'g.cfg:1: memory: expected a positive whole number, found 99999999999999999999',
    ],
    ['memory = 5\nmemory += 12', 'g.cfg:2: memory: expected = and a positive whole number, found +='],
    ['memory += 12', 'g.cfg:1: memory: expected = and a positive whole number, found +='],
    ['uuid = "7"', 'g.cfg:1: uuid: expected 8-4-4-4-12 hexadecimal digits, found "7"'],
    ['name = "a/b"', 'g.cfg:1: name: expected letters, digits and any of _.:+- in it, found "a/b"'],
    [
      'on_crash = "coredump-restart"',
      'g.cfg:1: on_crash: "coredump-restart" is not supported yet; expected "destroy", "restart" or "preserve"',
    ],
    [
      'on_reboot = "x"',
      'g.cfg:1: on_reboot: there is no action "x"; expected "destroy", "restart" or "preserve"',
    ],
  ]) {
    it(`names the key in ${JSON.stringify(text)}`, () => {
      assert.throws(() => read(text), { name: 'ConfigError', message });
    });
  }

  it('names a long key by its beginning', () => {
    assert.throws(() => read(`${'k'.repeat(1000)} = 1`), {
      message: `g.cfg:1: ${'k'.repeat(120)}…: there is no such key`,
    });
    assert.throws(() => read('', `${'k'.repeat(1000)}=1`), {
      message: `${'k'.repeat(120)}…: there is no such key`,
    });
  });

  it('names a word of the command line as it was given', () => {
    assert.throws(() => read('', 'vcpus=4'), {
      message: 'vcpus=4: 4 vCPUs are not supported yet; expected 1',
    });
    assert.throws(() => read('', 'vif=x'), { message: 'vif=x: not supported yet' });
  });
});
