/**
 * What a domain is given at birth: the page that its first stack register points to (Xen 4.17, public/xen.h).
 *
 * The domain builder writes it once; after a resume or a migration the toolstack writes it again. Frame
 * numbers named `mfn` are machine frames, `pfn` the guest's own.
 */
import { array, i8, struct, u8, u16, u32, ulong, union } from '../layout.ts';

/** The first page of a domain. The builder writes it, the guest reads it. */
export const start_info = struct('start_info', {
  /** "xen-<version>-<platform>", NUL-terminated. */
  magic: array(u8, 32),
  /** Pages that the domain was given. */
  nr_pages: ulong,
  /** Machine address (bytes, not a frame number) of the shared_info page. */
  shared_info: ulong,
  /** SIF_*. */
  flags: u32,
  /** Machine frame of the xenstore ring page. */
  store_mfn: ulong,
  /** Event channel of xenstore. */
  store_evtchn: u32,
  console: union({
    /** An unprivileged domain's console: machine frame and event channel of its ring. */
    domU: struct({ mfn: ulong, evtchn: u32 }),
    /** The initial domain's: byte offset from this structure, and size, of a dom0_vga_console_info. */
    dom0: struct({ info_off: u32, info_size: u32 }),
  }),
  /** Virtual address of the root page table. */
  pt_base: ulong,
  /** Bootstrap page-table frames, contiguous from pt_base. */
  nr_pt_frames: ulong,
  /** Virtual address of the P2M list: one word for each page of the domain. */
  mfn_list: ulong,
  /** Virtual address of the initrd; its first PFN instead if SIF_MOD_START_PFN is set. 0 if there is none. */
  mod_start: ulong,
  /** Bytes. */
  mod_len: ulong,
  /** NUL-terminated. */
  cmd_line: array(i8, 1024),
  /** First PFN of the P2M list's own pages, when it was placed at the INIT_P2M note's address. */
  first_p2m_pfn: ulong,
  /** Number of those pages. */
  nr_p2m_frames: ulong,
});

/** One module of SIF_MULTIBOOT_MOD: the array stands at mod_start. Physical addresses. */
export const xen_multiboot_mod_list = struct('xen_multiboot_mod_list', {
  mod_start: u32,
  mod_end: u32,
  cmdline: u32,
  pad: u32,
});

/** Video mode that the initial domain inherits. */
export const dom0_vga_console_info = struct('dom0_vga_console_info', {
  /** XEN_VGATYPE_*. */
  video_type: u8,
  u: union({
    text_mode_3: struct({ font_height: u16, cursor_x: u16, cursor_y: u16, rows: u16, columns: u16 }),
    vesa_lfb: struct({
      width: u16,
      height: u16,
      bytes_per_line: u16,
      bits_per_pixel: u16,
      lfb_base: u32,
      /** In units of 64 KiB. */
      lfb_size: u32,
      red_pos: u8,
      red_size: u8,
      green_pos: u8,
      green_size: u8,
      blue_pos: u8,
      blue_size: u8,
      rsvd_pos: u8,
      rsvd_size: u8,
      gbl_caps: u32,
      mode_attrs: u16,
      pad: u16,
      /** Upper 32 bits of lfb_base. */
      ext_lfb_base: u32,
    }),
  }),
});
