/* SPDX-License-Identifier: Apache-2.0
 *
 * unwind.c - frames of another process, by the unwind data of its images.
 *
 * RtlVirtualUnwind reads the image and the stack of the process that it runs
 * in.  This does the same over ReadProcessMemory, for bodies of functions; a
 * thread that stands in a prologue is told by the offsets of its codes, and
 * epilogues are taken for bodies.  Formats: "x64 exception handling" of
 * Microsoft's C++ documentation.
 */
#include "unwind.h"

void unwind_start(unwound *u, HANDLE process)
{
    peek_start(&u->images, process);
    peek_start(&u->stack, process);
}

void unwind_thread(unwound *u)
{
    peek_start(&u->stack, u->stack.process);
}

#if defined(_M_X64) || defined(__x86_64__)

#define MAX_CODES 255
#define MAX_CHAIN 8
#define MAX_FUNCTIONS (1u << 20)

typedef struct function_entry {
    uint32_t begin, end, info;
} function_entry;

typedef struct unwind_info {
    uint8_t version_flags, prologue, count, frame;
    uint16_t codes[MAX_CODES + 1];
} unwind_info;

enum { PUSH_NONVOL, ALLOC_LARGE, ALLOC_SMALL, SET_FPREG, SAVE_NONVOL, SAVE_NONVOL_FAR, SAVE_XMM = 8, SAVE_XMM_FAR, MACHFRAME };

#define CHAINED 4

static DWORD64 *register_of(CONTEXT *context, unsigned number)
{
    return &context->Rax + (number & 15);       /* Rax to R15 stand in the order of their numbers */
}

static bool exception_directory(peeked *images, const module *m, IMAGE_DATA_DIRECTORY *directory)
{
    IMAGE_DOS_HEADER dos;
    IMAGE_NT_HEADERS64 nt;

    if (!peek(images, m->base, &dos, sizeof(dos)) || dos.e_magic != IMAGE_DOS_SIGNATURE || dos.e_lfanew < 0 ||
        !peek(images, m->base + (ULONG_PTR)dos.e_lfanew, &nt, sizeof(nt)) || nt.Signature != IMAGE_NT_SIGNATURE ||
        nt.OptionalHeader.Magic != IMAGE_NT_OPTIONAL_HDR64_MAGIC ||
        nt.OptionalHeader.NumberOfRvaAndSizes <= IMAGE_DIRECTORY_ENTRY_EXCEPTION)
        return false;
    *directory = nt.OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_EXCEPTION];
    return directory->VirtualAddress && directory->Size / sizeof(function_entry) <= MAX_FUNCTIONS;
}

/* The entry of the function at RVA; TRUE with `info` 0: it is a leaf, which has none. */
static bool find_function(peeked *images, const module *m, uint32_t rva, function_entry *found)
{
    IMAGE_DATA_DIRECTORY directory;
    uint32_t low = 0, high;

    memset(found, 0, sizeof(*found));
    if (!exception_directory(images, m, &directory))
        return false;
    for (high = directory.Size / sizeof(function_entry); low < high;) {
        uint32_t middle = low + (high - low) / 2;
        function_entry entry;

        if (!peek(images, m->base + directory.VirtualAddress + middle * sizeof(entry), &entry, sizeof(entry)))
            return false;
        if (rva < entry.begin) {
            high = middle;
        } else if (rva >= entry.end) {
            low = middle + 1;
        } else {
            *found = entry;
            return true;
        }
    }
    return true;
}

static bool read_info(peeked *images, const module *m, uint32_t rva, unwind_info *info)
{
    return peek(images, m->base + rva, info, 4) &&
           peek(images, m->base + rva + 4, info->codes, info->count * sizeof(info->codes[0]));
}

static unsigned slots_of(unsigned operation, unsigned operand)
{
    switch (operation) {
    case ALLOC_LARGE:
        return operand ? 3 : 2;
    case SAVE_NONVOL:
    case SAVE_XMM:
        return 2;
    case SAVE_NONVOL_FAR:
    case SAVE_XMM_FAR:
        return 3;
    default:
        return 1;
    }
}

/* What the prologue did up to `reached` is undone.  FALSE: its codes cannot be read. */
static bool undo(peeked *stack, const unwind_info *info, unsigned reached, CONTEXT *context, bool *interrupted)
{
    unsigned i = 0;

    while (i < info->count) {
        unsigned at = info->codes[i] & 0xFF, operation = info->codes[i] >> 8 & 15, operand = info->codes[i] >> 12;
        unsigned slots = slots_of(operation, operand);
        uint64_t wide, base = context->Rsp;

        if (i + slots > info->count)
            return false;
        wide = slots == 2 ? info->codes[i + 1] : slots == 3 ? info->codes[i + 1] | (uint64_t)info->codes[i + 2] << 16 : 0;
        i += slots;
        if (at > reached)
            continue;
        if (info->frame & 15)
            base = *register_of(context, info->frame & 15) - (info->frame >> 4) * 16u;
        switch (operation) {
        case PUSH_NONVOL:
            if (!peek(stack, context->Rsp, register_of(context, operand), 8))
                return false;
            context->Rsp += 8;
            break;
        case ALLOC_LARGE:
            context->Rsp += operand ? wide : wide * 8;
            break;
        case ALLOC_SMALL:
            context->Rsp += operand * 8 + 8;
            break;
        case SET_FPREG:
            context->Rsp = base;
            break;
        case SAVE_NONVOL:
        case SAVE_NONVOL_FAR:
            if (!peek(stack, base + (operation == SAVE_NONVOL ? wide * 8 : wide), register_of(context, operand), 8))
                return false;
            break;
        case MACHFRAME:
            if (!peek(stack, context->Rsp + operand * 8, &context->Rip, 8) ||
                !peek(stack, context->Rsp + operand * 8 + 24, &context->Rsp, 8))
                return false;
            *interrupted = true;
            break;
        default:                        /* XMM registers hold no addresses */
            break;
        }
    }
    return true;
}

/* In no image: a jump to nowhere, or a thunk that was made at run time.  Either has not touched the stack. */
static bool step_nowhere(unwound *u, const module_list *modules, CONTEXT *context)
{
    DWORD64 caller;

    if (!peek(&u->stack, context->Rsp, &caller, sizeof(caller)) || !modules_find(modules, (ULONG_PTR)caller))
        return false;
    context->Rip = caller;
    context->Rsp += 8;
    return true;
}

bool unwind_step(unwound *u, const module_list *modules, CONTEXT *context)
{
    const module *m = modules_find(modules, (ULONG_PTR)context->Rip);
    uint64_t before = context->Rsp;
    bool interrupted = false;
    function_entry function;
    unsigned chain;

    if (!m)
        return step_nowhere(u, modules, context);
    if (!find_function(&u->images, m, (uint32_t)(context->Rip - m->base), &function))
        return false;
    for (chain = 0; function.info; chain++) {
        uint32_t offset = (uint32_t)(context->Rip - m->base) - function.begin;
        unwind_info info;

        if (chain == MAX_CHAIN || !read_info(&u->images, m, function.info, &info))
            return false;
        if (!undo(&u->stack, &info, chain || offset >= info.prologue ? 0xFF : offset, context, &interrupted))
            return false;
        if (interrupted)
            return context->Rip != 0;
        if (!(info.version_flags >> 3 & CHAINED))
            break;
        if (!peek(&u->images, m->base + function.info + 4 + (info.count + 1u) / 2 * 4, &function, sizeof(function)))
            return false;
    }
    if (!peek(&u->stack, context->Rsp, &context->Rip, 8))
        return false;
    context->Rsp += 8;
    return context->Rip && context->Rsp > before;
}

#else

bool unwind_step(unwound *u, const module_list *modules, CONTEXT *context)
{
    (void)u;
    (void)modules;
    (void)context;
    return false;
}

#endif
