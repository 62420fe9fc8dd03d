/* SPDX-License-Identifier: Apache-2.0
 *
 * coverage.c - a TCG plugin of QEMU: which blocks of code a guest executes.
 *
 * What it counts lies in a file that the host maps, too (layout: block_map.py,
 * and the structures below).  The host says in it which ranges of addresses are
 * of interest, may change them while the guest runs, reads the counters and sets
 * them to zero.
 *
 * A block is what QEMU translates at once: instructions up to a branch, the end of
 * a page or QEMU's own limit.  Each has two counters: how often its first
 * instruction began, and how often its last one did.  They differ where an
 * exception left the block in between.
 *
 * Plugins cannot ask for the address space.  A block is therefore known by its
 * address and by its bytes: another process with other code at the same address
 * has other blocks.
 *
 * Of QEMU's interface only what its versions have in common is used, but for two
 * calls (marked by KSHS_QEMU_API), declared here from its documentation ("QEMU TCG
 * Plugins", and the comments of qemu-plugin.h, which Debian 12 does not package).  KSHS_QEMU_API is the version of the interface
 * that is claimed: a QEMU takes those between its minimum and its own.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef KSHS_QEMU_API
#error "-DKSHS_QEMU_API=N says for which version of QEMU's interface this is"
#endif

/* ---- QEMU's interface, as far as it is used ---------------------------------- */

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

typedef struct qemu_info_t {
    const char *target_name;
    struct {
        int min, cur;
    } version;
    bool system_emulation;          /* more follows, which is not used */
} qemu_info_t;

#if KSHS_QEMU_API >= 2
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
#endif

typedef void (*qemu_plugin_simple_cb_t)(qemu_plugin_id_t id);
typedef void (*qemu_plugin_vcpu_simple_cb_t)(qemu_plugin_id_t id, unsigned int vcpu);
#if KSHS_QEMU_API >= 2
typedef void (*qemu_plugin_vcpu_udata_cb_t)(unsigned int vcpu, void *data);
#endif
typedef void (*qemu_plugin_vcpu_tb_trans_cb_t)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);

void qemu_plugin_reset(qemu_plugin_id_t id, qemu_plugin_simple_cb_t cb);
void qemu_plugin_register_vcpu_resume_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_simple_cb_t cb);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, qemu_plugin_vcpu_tb_trans_cb_t cb);
#if KSHS_QEMU_API < 2
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, enum qemu_plugin_op op, void *counter,
                                              uint64_t more);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, enum qemu_plugin_op op, void *counter,
                                                uint64_t more);
#else
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, qemu_plugin_vcpu_udata_cb_t cb,
                                          enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, qemu_plugin_vcpu_udata_cb_t cb,
                                            enum qemu_plugin_cb_flags flags, void *data);
#endif
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
#if KSHS_QEMU_API >= 3
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *into, size_t length);
#else
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
#endif

EXPORT int qemu_plugin_version = KSHS_QEMU_API;
EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

/* ---- the file --------------------------------------------------------------- */

#define MAGIC 0x32564F435348534Bull     /* "KSHSCOV2", little endian */
#define HEADER_BYTES 4096
#define MAX_RANGES 64
#define MAX_INSN 16                     /* bytes of an x86 instruction: 15 at most */

typedef struct range {
    uint64_t begin, end;
} range;

typedef struct header {
    uint64_t magic;                 /* host */
    uint32_t capacity;              /* host: blocks that there is room for */
    uint32_t api;                   /* plugin: version of the interface that it was built for; 0: never loaded */
    uint64_t wanted;                /* host: raised after the ranges were changed */
    uint64_t applied;               /* plugin: the `wanted` whose ranges are in force */
    uint32_t used;                  /* plugin: blocks that are described */
    uint32_t lost;                  /* plugin: translations for which there was no room */
    uint32_t range_count;           /* host */
    uint32_t reserved;
    range ranges[MAX_RANGES];       /* host */
} header;

typedef struct block {
    uint64_t address;
    uint64_t digest;                /* FNV-1a of its bytes */
    uint32_t size;
    uint32_t first;                 /* bytes of its first instruction */
} block;

typedef struct counters {
    uint64_t begun, ended;
} counters;

static header *shared;
static block *blocks;
static counters *counted;

static range ranges[MAX_RANGES];        /* those in force */
static uint32_t range_count;
static bool resetting;

/* ---- blocks by address and bytes --------------------------------------------- */

static uint32_t *slots;                 /* open addressing; number of a block + 1 */
static uint32_t slot_mask;
static char lock;

static void acquire(void)
{
    while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE))
        ;
}

static void release(void)
{
    __atomic_clear(&lock, __ATOMIC_RELEASE);
}

static uint32_t number_of(const block *wanted)
{
    uint32_t slot = (uint32_t)((wanted->digest ^ wanted->address * 0x9E3779B97F4A7C15ull) >> 20) & slot_mask;
    uint32_t number;

    acquire();
    for (; slots[slot]; slot = (slot + 1) & slot_mask) {
        const block *known = &blocks[slots[slot] - 1];

        if (known->address == wanted->address && known->digest == wanted->digest && known->size == wanted->size) {
            number = slots[slot] - 1;
            release();
            return number;
        }
    }
    number = shared->used;
    if (number == shared->capacity) {
        shared->lost++;
        release();
        return UINT32_MAX;
    }
    blocks[number] = *wanted;
    slots[slot] = number + 1;
    __atomic_store_n(&shared->used, number + 1, __ATOMIC_RELEASE);  /* a reader has its description first */
    release();
    return number;
}

/* ---- what QEMU calls ---------------------------------------------------------- */

/* Version 1 of the interface adds to a counter in the translated code itself: three instructions of the host's in the
 * place of a call.  The addition is no atomic one.  Where two processors meet, or the host sets to zero meanwhile, a
 * count may be off, but what was executed is never zero by it: whoever adds writes at least 1. */
#if KSHS_QEMU_API < 2
static void count(struct qemu_plugin_tb *tb, struct qemu_plugin_insn *last, counters *of)
{
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &of->begun, 1);
    qemu_plugin_register_vcpu_insn_exec_inline(last, QEMU_PLUGIN_INLINE_ADD_U64, &of->ended, 1);
}
#else
/* Later ones have inline counters in memory of QEMU's alone, which the host cannot read. */
static void count_one(unsigned int vcpu, void *data)
{
    (void)vcpu;
    __atomic_fetch_add((uint64_t *)data, 1, __ATOMIC_RELAXED);
}

static void count_both(unsigned int vcpu, void *data)
{
    counters *of = data;

    count_one(vcpu, &of->begun);
    count_one(vcpu, &of->ended);
}

static void count(struct qemu_plugin_tb *tb, struct qemu_plugin_insn *last, counters *of)
{
    if (qemu_plugin_tb_n_insns(tb) == 1) {      /* its first instruction is its last one */
        qemu_plugin_register_vcpu_insn_exec_cb(last, count_both, QEMU_PLUGIN_CB_NO_REGS, of);
        return;
    }
    qemu_plugin_register_vcpu_tb_exec_cb(tb, count_one, QEMU_PLUGIN_CB_NO_REGS, &of->begun);
    qemu_plugin_register_vcpu_insn_exec_cb(last, count_one, QEMU_PLUGIN_CB_NO_REGS, &of->ended);
}
#endif

static bool of_interest(uint64_t address)
{
    uint32_t i;

    for (i = 0; i < range_count; i++)
        if (address >= ranges[i].begin && address < ranges[i].end)
            return true;
    return false;
}

static void take_bytes(block *b, const struct qemu_plugin_insn *insn)
{
    size_t size = qemu_plugin_insn_size(insn), i;
#if KSHS_QEMU_API >= 3
    uint8_t bytes[MAX_INSN];

    size = qemu_plugin_insn_data(insn, bytes, size < MAX_INSN ? size : MAX_INSN);
#else
    const uint8_t *bytes = qemu_plugin_insn_data(insn);
#endif
    for (i = 0; i < size; i++)
        b->digest = (b->digest ^ bytes[i]) * 0x100000001B3ull;
    b->size += (uint32_t)size;
}

static void start(qemu_plugin_id_t id);

static void look_for_ranges(qemu_plugin_id_t id)
{
    if (resetting || __atomic_load_n(&shared->wanted, __ATOMIC_ACQUIRE) == shared->applied)
        return;
    resetting = true;
    qemu_plugin_reset(id, start);       /* throws away what was translated with the old ones, too */
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t instructions = qemu_plugin_tb_n_insns(tb), i;
    block b = { .address = qemu_plugin_tb_vaddr(tb), .digest = 0xCBF29CE484222325ull };
    uint32_t number;

    look_for_ranges(id);
    if (!instructions || !of_interest(b.address))
        return;
    for (i = 0; i < instructions; i++) {
        take_bytes(&b, qemu_plugin_tb_get_insn(tb, i));
        if (!i)
            b.first = b.size;
    }
    number = number_of(&b);
    if (number == UINT32_MAX)
        return;
    count(tb, qemu_plugin_tb_get_insn(tb, instructions - 1), &counted[number]);
}

/* A guest that has nothing translated any more goes to sleep now and then. */
static void resumed(qemu_plugin_id_t id, unsigned int vcpu)
{
    (void)vcpu;
    look_for_ranges(id);
}

/* With the ranges of now; QEMU has forgotten all callbacks and translations, or had none yet. */
static void start(qemu_plugin_id_t id)
{
    uint64_t wanted = __atomic_load_n(&shared->wanted, __ATOMIC_ACQUIRE);

    range_count = shared->range_count < MAX_RANGES ? shared->range_count : MAX_RANGES;
    memcpy(ranges, shared->ranges, range_count * sizeof(range));
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_resume_cb(id, resumed);
    resetting = false;
    __atomic_store_n(&shared->applied, wanted, __ATOMIC_RELEASE);
}

static int refuse(const char *what, const char *path)
{
    fprintf(stderr, "kshs coverage plugin: %s%s%s\n", what, *path ? ": " : "", path);
    return -1;
}

static int map_file(const char *path)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    size_t size, room;
    struct stat status;
    void *all;

    if (file < 0)
        return refuse("cannot open the map", path);
    if (fstat(file, &status) || status.st_size < HEADER_BYTES) {
        close(file);
        return refuse("the map is too short", path);
    }
    size = (size_t)status.st_size;
    all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (all == MAP_FAILED)
        return refuse("cannot map the map", path);
    shared = all;
    room = (size - HEADER_BYTES) / (sizeof(block) + sizeof(counters));
    if (shared->magic != MAGIC || !shared->capacity || shared->capacity > room || shared->capacity > 1u << 24)
        return refuse("is no map of this version", path);
    blocks = (block *)((char *)all + HEADER_BYTES);
    counted = (counters *)(blocks + shared->capacity);
    for (slot_mask = 1; slot_mask < shared->capacity * 2; slot_mask *= 2)
        ;
    slots = calloc(slot_mask, sizeof(*slots));
    slot_mask--;
    return slots ? 0 : refuse("there is no memory", "");
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    const char *path = NULL;
    int i;

    for (i = 0; i < argc; i++)
        if (!strncmp(argv[i], "map=", 4))
            path = argv[i] + 4;
    if (!path)
        return refuse("map=FILE is missing", "");
    if (!info->system_emulation || strcmp(info->target_name, "x86_64"))
        return refuse("is for machines with x86_64 processors, not for", info->target_name);
    if (map_file(path))
        return -1;
    shared->used = shared->lost = 0;
    start(id);
    __atomic_store_n(&shared->api, (uint32_t)qemu_plugin_version, __ATOMIC_RELEASE);
    return 0;
}
