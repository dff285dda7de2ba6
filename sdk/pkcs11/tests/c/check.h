/* What the C programs of the tests share: loading the library by its path, and checking what a call answers. */
#ifndef CHECK_H
#define CHECK_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cryptoki.h"

#define FIRST_SLOT 0x2000000000000001UL

static CK_FUNCTION_LIST *p11;

/* Where a failed check is told. A program that puts something else in the place of standard error names another one. */
#ifndef FAILURES
#define FAILURES stderr
#endif

/* Ends the program unless a call answers what it must. */
#define CHECK(call, expected)                                                                                          \
    do {                                                                                                               \
        CK_RV answered = (call);                                                                                       \
        if (answered != (CK_RV)(expected)) {                                                                           \
            fprintf(FAILURES, "%s:%d: %s: 0x%lx, not %s\n", __FILE__, __LINE__, #call, answered, #expected);           \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Ends the program unless something is so. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(FAILURES, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                          \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A name in a loaded library. ISO C has no conversion of what dlsym gives. */
static void *library;
static void symbol(const char *name, void *function) {
    void *found = dlsym(library, name);
    MUST(found != NULL);
    memcpy(function, &found, sizeof found);
}

static void load(const char *path) {
    CK_RV (*list)(CK_FUNCTION_LIST **);
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(FAILURES, "%s\n", dlerror());
        exit(1);
    }
    symbol("C_GetFunctionList", &list);
    CHECK(list(&p11), CKR_OK);
}

#endif
