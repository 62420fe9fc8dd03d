# SPDX-License-Identifier: Apache-2.0
"""Structures of 64-bit kernel dumps (docs/dumps.md has where each fact comes from).

Little-endian, packed as written; offsets in a dump count from the start of the file.
"""

from __future__ import annotations

from dissect.cstruct import cstruct

#: What Windows fills a header with before it writes the fields: one that still holds it was never written.
FILLER = b"PAGE"
HEADER_SIZE = 0x2000

TYPES = cstruct().load("""
struct HEADER {
    char   signature[8];
    uint32 major;
    uint32 build;
    uint64 directory_table_base;
    uint64 pfn_data_base;
    uint64 loaded_module_list;
    uint64 active_process_head;
    uint32 machine;
    uint32 processors;
    uint32 stop_code;
    uint32 pad0;
    uint64 parameters[4];
    char   version_user[32];
    uint64 debugger_data_block;
    char   memory_runs[0x2c0];
    char   context[0xbb8];
    char   exception[0x98];
    uint32 dump_type;
    uint32 pad1;
    uint64 required_dump_space;
    uint64 system_time;
    char   comment[128];
    uint64 system_up_time;
    uint32 mini_dump_fields;
    uint32 secondary_data_state;
    uint32 product_type;
    uint32 suite_mask;
    uint32 writer_status;
};

struct EXCEPTION {
    uint32 code;
    uint32 flags;
    uint64 record;
    uint64 address;
    uint32 parameter_count;
    uint32 pad;
    uint64 parameters[15];
};

struct MEMORY_RUNS {
    uint32 count;
    uint32 pad;
    uint64 pages;
};

struct MEMORY_RUN {
    uint64 base_page;
    uint64 page_count;
};

struct TRIAGE {
    uint32 service_pack_build;
    uint32 size_of_dump;
    uint32 valid_offset;
    uint32 context_offset;
    uint32 exception_offset;
    uint32 mm_offset;
    uint32 unloaded_drivers_offset;
    uint32 prcb_offset;
    uint32 process_offset;
    uint32 thread_offset;
    uint32 call_stack_offset;
    uint32 size_of_call_stack;
    uint32 driver_list_offset;
    uint32 driver_count;
    uint32 string_pool_offset;
    uint32 string_pool_size;
    uint32 broken_driver_offset;
    uint32 triage_options;
    uint64 top_of_stack;
    char   architecture[32];
    uint32 debugger_data_offset;
    uint32 debugger_data_size;
    uint32 data_blocks_offset;
    uint32 data_blocks_count;
};

struct DRIVER {
    uint32 name_offset;
    uint32 pad0;
    char   links[0x30];
    uint64 base;
    uint64 entry_point;
    uint32 size_of_image;
    char   names[0x34];
    uint32 check_sum;
    uint32 pad1;
    uint32 time_stamp;
    uint32 pad2;
};

struct UNLOADED {
    uint16 length;
    uint16 maximum;
    uint32 pad;
    uint64 buffer;
    char   name[24];
    uint64 start;
    uint64 end;
};

struct BLOCK {
    uint64 address;
    uint32 offset;
    uint32 size;
};

struct BLOB_FILE {
    char   signature[8];
    uint32 header_size;
    uint32 build;
};

struct BLOB {
    uint32 header_size;
    char   tag[16];
    uint32 data_size;
    uint32 pre_pad;
    uint32 post_pad;
};

struct BITMAP {
    char   signature[4];
    char   valid[4];
    char   pad[0x18];
    uint64 first_page;
    uint64 present_pages;
    uint64 pages;
};

struct RANGES {
    uint32 marker;
    char   signature[4];
    char   valid[4];
    uint32 pad;
    uint64 metadata_size;
    uint64 first_page;
};
""")
