// Counts the allocations of worker threads, for an LD_PRELOAD into the daemon.
//
// The count lives in a file that FAIRLEAD_ALLOCATIONS names and that is mapped: whoever counts reads it while the daemon
// runs. Each distinct stack is an entry, so that an allocation that should not be there tells where it comes from.
// allocations.py reads the layout below.

#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { frame_limit = 30, stack_limit = 512 };

struct stack {
    uint64_t count;
    uint64_t depth;
    void *frames[frame_limit];
};

// One worker, so one writer. The last entry takes all stacks for which there is no room.
static struct stack *stacks;

// The allocator behind malloc(3) and its kin, which glibc exports under these names as well.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

// Initial-exec: other thread-local storage may be allocated at its first use, by malloc.
static __thread bool is_worker __attribute__((tls_model("initial-exec")));
static __thread bool is_counting __attribute__((tls_model("initial-exec")));

__attribute__((constructor)) static void map_count(void) {
    const char *path = getenv("FAIRLEAD_ALLOCATIONS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    // The first backtrace loads the unwinder, which allocates.
    void *frame;
    backtrace(&frame, 1);
    size_t size = stack_limit * sizeof(struct stack);
    void *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapping != MAP_FAILED) stacks = mapping;
}

// A thread is named after it has started, so one that is not a worker yet is asked each time.
static bool in_worker(void) {
    char name[16];
    if (!is_worker) is_worker = prctl(PR_GET_NAME, name) == 0 && strncmp(name, "relay-", 6) == 0;
    return is_worker;
}

static void count(void) {
    if (!stacks || is_counting || !in_worker()) return;
    is_counting = true;
    struct stack found = {.count = 1};
    found.depth = (uint64_t)backtrace(found.frames, frame_limit);
    struct stack *entry = stacks;
    while (entry->count > 0 && entry < stacks + stack_limit - 1 &&
           (entry->depth != found.depth || memcmp(entry->frames, found.frames, sizeof found.frames) != 0))
        entry++;
    if (entry->count == 0)
        *entry = found;
    else
        __atomic_fetch_add(&entry->count, 1, __ATOMIC_RELAXED);
    is_counting = false;
}

void *malloc(size_t size) {
    count();
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count();
    return __libc_calloc(number, size);
}

void *realloc(void *former, size_t size) {
    count();
    return __libc_realloc(former, size);
}

void *memalign(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
    count();
    void *memory = __libc_memalign(alignment, size);
    if (!memory) return ENOMEM;
    *result = memory;
    return 0;
}
